/* What immintrin.h has for AVX2 and FMA: GCC takes a quarter of a second to read all of that, as
 * long as for the functions that use it. How it is made up is GCC's own affair, so this is for the
 * version that was tried; others read the whole. */
#ifndef GW_INTRINSICS_H
#define GW_INTRINSICS_H
#if __GNUC__ == 12 && !defined(__clang__) && defined(__AVX2__) && defined(__FMA__) && \
    !defined(__AVX512F__)
#define _IMMINTRIN_H_INCLUDED /* the parts ask for it, and the whole is not read any more */
#include <x86gprintrin.h>
#include <xmmintrin.h>
#include <emmintrin.h>
#include <pmmintrin.h>
#include <tmmintrin.h>
#include <smmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#include <fmaintrin.h>
#endif
#endif

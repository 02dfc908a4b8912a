/* What every generated kernel may use. */
#ifndef GRADWORKS_H
#define GRADWORKS_H
#include <stdint.h>
#include <string.h>
#include "vector_math.h"

/* A kernel works on one part of its launch. p: its tensors, inputs before outputs, then scratch. */
typedef void (*GwKernel)(char* const* p, int64_t part);
typedef void (*GwGemmFloat)(int, int, int, int64_t, int64_t, int64_t, float, const float*, int64_t,
                            const float*, int64_t, float, float*, int64_t);
typedef void (*GwGemmDouble)(int, int, int, int64_t, int64_t, int64_t, double, const double*,
                             int64_t, const double*, int64_t, double, double*, int64_t);

#define GW_EXPORT __attribute__((visibility("default")))
#define GW_HIDDEN __attribute__((visibility("hidden")))

/* A function that kernels call by name. Its body, and all that only it needs, stands where
 * GW_LIBRARY is defined: the bodies of a header are compiled once a machine and linked to every
 * library of kernels that includes it. */
#define GW_SHARED GW_HIDDEN

/* gw_sgemm, gw_dgemm: NumPy's BLAS, by pointer; always one thread: parts are what runs side by
 * side. gw_refused: where a kernel says that it cannot work on what it was given, see GW_REFUSE.
 * They stand in the first unit of a library; the further ones look there. */
#ifdef GW_FURTHER
extern GW_HIDDEN GwGemmFloat gw_sgemm;
extern GW_HIDDEN GwGemmDouble gw_dgemm;
extern GW_HIDDEN int* gw_refused;
#else
GW_HIDDEN GwGemmFloat gw_sgemm;
GW_HIDDEN GwGemmDouble gw_dgemm;
GW_HIDDEN int* gw_refused;
GW_EXPORT void gw_bind(void* sgemm, void* dgemm, int* refused) {
  gw_sgemm = (GwGemmFloat)sgemm;
  gw_dgemm = (GwGemmDouble)dgemm;
  gw_refused = refused;
}
#endif

/* Give the launch back: its reference runs in its place, and raises the error that a user reads.
 * For numbers that only show when they are there, such as a class that does not exist. The inputs
 * must be whole. */
#define GW_REFUSE() __atomic_store_n(gw_refused, 1, __ATOMIC_RELAXED)

enum { GW_ROW_MAJOR = 101, GW_PLAIN = 111, GW_TRANSPOSED = 112 };

/* Before a loop: no turn of it reads what another writes. */
#ifdef __clang__
#define GW_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define GW_IVDEP _Pragma("GCC ivdep")
#endif

#define GW_MIN(a, b) ((a) < (b) ? (a) : (b))
#define GW_MAX(a, b) ((a) > (b) ? (a) : (b))
#endif

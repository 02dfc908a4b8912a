/* Sums for normalisation: blocks are added lane by lane, lanes pairwise, blocks in double. */
#ifndef GW_NORM_H
#define GW_NORM_H
#include "vectors.h"

/* The sum of x, of its squares, of the squares of x - mean; of g w, of g (x - mean) and of
 * g w (x - mean). */
GW_SHARED double gw_sum(const float* x, int64_t count);
GW_SHARED double gw_sum_squares(const float* x, int64_t count);
GW_SHARED double gw_sum_away(const float* x, float mean, int64_t count);
GW_SHARED double gw_sum_product(const float* g, const float* w, int64_t count);
GW_SHARED double gw_sum_along(const float* g, const float* x, float mean, int64_t count);
GW_SHARED double gw_sum_weighted(const float* g, const float* w, const float* x, float mean,
                                 int64_t count);

#ifdef GW_LIBRARY
enum { GW_SUM_LANES = 32, GW_SUM_BLOCK = 2048, GW_SUM_VECTORS = GW_SUM_LANES / GW_LANES };

GW_INLINE float gw_lanes(const float* s) {
  GwVector v[GW_SUM_VECTORS];
  float last[GW_LANES];
#pragma GCC unroll 8
  for (int l = 0; l < GW_SUM_VECTORS; l++) v[l] = gw_load(s + l * GW_LANES);
#pragma GCC unroll 4
  for (int half = GW_SUM_VECTORS / 2; half; half /= 2)
#pragma GCC unroll 4
    for (int l = 0; l < half; l++) v[l] += v[l + half];
  gw_store(last, v[0]);
#pragma GCC unroll 4
  for (int half = GW_LANES / 2; half; half /= 2)
#pragma GCC unroll 8
    for (int l = 0; l < half; l++) last[l] += last[l + half];
  return last[0];
}

/* Adds up TERM for `at` in 0..count. AT(x) is x[at], ALL(m) the same number for every term: in
 * vectors and, at the end of a row, one by one. */
#define GW_SUM(NAME, ARGUMENTS, TERM)                                            \
  GW_SHARED double NAME ARGUMENTS {                                              \
    double total = 0;                                                            \
    for (int64_t start = 0; start < count; start += GW_SUM_BLOCK) {              \
      int64_t end = GW_MIN(count, start + GW_SUM_BLOCK), i = start;              \
      GwVector v[GW_SUM_VECTORS];                                                \
      float s[GW_SUM_LANES];                                                     \
      _Pragma("GCC unroll 8") for (int l = 0; l < GW_SUM_VECTORS; l++)           \
        v[l] = gw_all(0);                                                        \
      for (; i + GW_SUM_LANES <= end; i += GW_SUM_LANES)                         \
        _Pragma("GCC unroll 8") for (int l = 0; l < GW_SUM_VECTORS; l++) {       \
          const int64_t at = i + l * GW_LANES;                                   \
          v[l] += TERM(gw_load, gw_all);                                         \
        }                                                                        \
      _Pragma("GCC unroll 8") for (int l = 0; l < GW_SUM_VECTORS; l++)           \
        gw_store(s + l * GW_LANES, v[l]);                                        \
      for (int64_t at = i; at < end; at++) s[at - i] += TERM(*, );               \
      total += gw_lanes(s);                                                      \
    }                                                                            \
    return total;                                                                \
  }

#define GW_TERM(AT, ALL) AT(x + at)
GW_SUM(gw_sum, (const float* x, int64_t count), GW_TERM)
#undef GW_TERM
#define GW_TERM(AT, ALL) (AT(x + at) * AT(x + at))
GW_SUM(gw_sum_squares, (const float* x, int64_t count), GW_TERM)
#undef GW_TERM
#define GW_TERM(AT, ALL) ((AT(x + at) - ALL(mean)) * (AT(x + at) - ALL(mean)))
GW_SUM(gw_sum_away, (const float* x, float mean, int64_t count), GW_TERM)
#undef GW_TERM
#define GW_TERM(AT, ALL) (AT(g + at) * AT(w + at))
GW_SUM(gw_sum_product, (const float* g, const float* w, int64_t count), GW_TERM)
#undef GW_TERM
#define GW_TERM(AT, ALL) (AT(g + at) * (AT(x + at) - ALL(mean)))
GW_SUM(gw_sum_along, (const float* g, const float* x, float mean, int64_t count), GW_TERM)
#undef GW_TERM
#define GW_TERM(AT, ALL) (AT(g + at) * AT(w + at) * (AT(x + at) - ALL(mean)))
GW_SUM(gw_sum_weighted, (const float* g, const float* w, const float* x, float mean, int64_t count),
       GW_TERM)
#undef GW_TERM
#undef GW_SUM
#endif
#endif

/* Sums for normalisation: blocks are added lane by lane, lanes pairwise, blocks in double. */
#ifndef GW_NORM_H
#define GW_NORM_H

enum { GW_SUM_LANES = 32, GW_SUM_BLOCK = 2048 };

static inline float gw_lanes(float* s) {
  for (int half = GW_SUM_LANES / 2; half; half /= 2)
    for (int j = 0; j < half; j++) s[j] += s[j + half];
  return s[0];
}

/* Adds up TERM for i in 0..count; A and B of two sums at once. */
#define GW_SUM(NAME, ARGUMENTS, TERM)                                    \
  static inline double NAME ARGUMENTS {                                  \
    double total = 0;                                                    \
    for (int64_t start = 0; start < count; start += GW_SUM_BLOCK) {      \
      int64_t end = GW_MIN(count, start + GW_SUM_BLOCK), i = start;      \
      float s[GW_SUM_LANES] = {0};                                       \
      for (; i + GW_SUM_LANES <= end; i += GW_SUM_LANES)                 \
        for (int j = 0; j < GW_SUM_LANES; j++) {                         \
          const int64_t at = i + j;                                      \
          s[j] += TERM;                                                  \
        }                                                                \
      for (int j = 0; i < end; i++, j++) {                               \
        const int64_t at = i;                                            \
        s[j] += TERM;                                                    \
      }                                                                  \
      total += gw_lanes(s);                                              \
    }                                                                    \
    return total;                                                        \
  }

GW_SUM(gw_sum, (const float* x, int64_t count), x[at])
GW_SUM(gw_sum_squares, (const float* x, int64_t count), x[at] * x[at])
GW_SUM(gw_sum_away, (const float* x, float mean, int64_t count),
       (x[at] - mean) * (x[at] - mean))
GW_SUM(gw_sum_product, (const float* g, const float* w, int64_t count), g[at] * w[at])
GW_SUM(gw_sum_along, (const float* g, const float* x, float mean, int64_t count),
       g[at] * (x[at] - mean))
GW_SUM(gw_sum_weighted, (const float* g, const float* w, const float* x, float mean, int64_t count),
       g[at] * w[at] * (x[at] - mean))
#undef GW_SUM
#endif

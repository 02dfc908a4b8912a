/* Products c = a b of which only some elements are wanted, as in the gradient of what went into a
 * ReLU. Each of them is a dot product: a row of a stays in registers, b is turned in panels that
 * stay in the first cache. It takes registers for a row of 256 numbers, so AVX-512. */
#ifndef GW_CHOSEN_H
#define GW_CHOSEN_H
#include "sparse.h"

/* Columns of a panel; vectors of a block of depth; elements that are made together. */
enum { GW_CHOSEN_COLUMNS = 32, GW_CHOSEN_DEPTH = 256, GW_CHOSEN_FEW = 4 };
/* Depth from which it is worth it, and how many elements of a hundred must not be wanted. */
enum { GW_CHOSEN_LEAST = 96, GW_UNWANTED = 35 };

#if defined(GW_WIDEST)

/* The sums of the lanes of four vectors. */
GW_INLINE __m128 gw_chosen_sums(const GwVector* v) {
  const __m512d low = (__m512d)(_mm512_unpacklo_ps(v[0], v[1]) + _mm512_unpackhi_ps(v[0], v[1]));
  const __m512d high = (__m512d)(_mm512_unpacklo_ps(v[2], v[3]) + _mm512_unpackhi_ps(v[2], v[3]));
  const __m512 all =
      (__m512)_mm512_unpacklo_pd(low, high) + (__m512)_mm512_unpackhi_pd(low, high);
  const __m256 half =
      _mm512_castps512_ps256(all) + (__m256)_mm512_extractf64x4_pd((__m512d)all, 1);
  return _mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1);
}

/* The wanted elements of some rows and of a panel, NV vectors deep, whose numbers past the depth
 * are 0; added to what is there, or not, and 0 where they are not wanted. Where too few are left to
 * make some together, the column of zeros stands in: a branch would be a guess. last: numbers of the
 * last vector of a row. words: from the bits of a row to those of the next. */
GW_INLINE void gw_chosen_of(const int NV, int64_t rows, int64_t width, int64_t last, const float* a,
                            int64_t a_row, const float* panel, const uint32_t* wanted,
                            int64_t words, float* c, int64_t c_row, int add) {
  const GwFirst first = gw_first(last);
  for (int64_t r = 0; r < rows; r++, a += a_row, c += c_row, wanted += words) {
    const uint32_t bits = *wanted;
    GwVector x[GW_CHOSEN_DEPTH / GW_LANES];
#pragma GCC unroll 16
    for (int v = 0; v < NV - 1; v++) x[v] = gw_load(a + v * GW_LANES);
    x[NV - 1] = gw_first_load(a + (NV - 1) * GW_LANES, first);
    float made[GW_CHOSEN_COLUMNS + GW_LANES], *to = made;
    for (uint32_t left = bits; left; to += GW_CHOSEN_FEW) {
      const float* column[GW_CHOSEN_FEW];
#pragma GCC unroll 4
      for (int q = 0; q < GW_CHOSEN_FEW; q++) {
        column[q] = panel + _tzcnt_u32(left) * (NV * GW_LANES);
        left = _blsr_u32(left);
      }
      GwVector s[2][GW_CHOSEN_FEW];
#pragma GCC unroll 4
      for (int q = 0; q < GW_CHOSEN_FEW; q++) s[0][q] = s[1][q] = gw_all(0);
#pragma GCC unroll 16
      for (int v = 0; v < NV; v++)
#pragma GCC unroll 4
        for (int q = 0; q < GW_CHOSEN_FEW; q++)
          s[v % 2][q] = gw_fma(x[v], gw_load(column[q] + v * GW_LANES), s[v % 2][q]);
#pragma GCC unroll 4
      for (int q = 0; q < GW_CHOSEN_FEW; q++) s[0][q] += s[1][q];
      _mm_storeu_ps(to, gw_chosen_sums(s[0]));
    }
    const float* from = made;
    for (int64_t j = 0; j < width; j += GW_LANES) {
      const GwFirst some = (GwFirst)(bits >> j), there = gw_first(GW_MIN(width - j, GW_LANES));
      GwVector v = _mm512_maskz_expandloadu_ps(some, from);
      from += __builtin_popcount(some);
      if (add) v += gw_first_load(c + j, there);
      gw_first_store(c + j, there, v);
    }
  }
}

typedef void (*GwChosenRows)(int64_t, int64_t, int64_t, const float*, int64_t, const float*,
                             const uint32_t*, int64_t, float*, int64_t, int);
#define GW_CHOSEN_OF(NV)                                                                        \
  static __attribute__((noinline)) void gw_chosen_##NV(                                         \
      int64_t rows, int64_t width, int64_t last, const float* a, int64_t a_row,                 \
      const float* panel, const uint32_t* wanted, int64_t words, float* c, int64_t c_row,       \
      int add) {                                                                                \
    gw_chosen_of(NV, rows, width, last, a, a_row, panel, wanted, words, c, c_row, add);         \
  }
GW_CHOSEN_OF(1)
GW_CHOSEN_OF(2)
GW_CHOSEN_OF(3)
GW_CHOSEN_OF(4)
GW_CHOSEN_OF(5)
GW_CHOSEN_OF(6)
GW_CHOSEN_OF(7)
GW_CHOSEN_OF(8)
GW_CHOSEN_OF(9)
GW_CHOSEN_OF(10)
GW_CHOSEN_OF(11)
GW_CHOSEN_OF(12)
GW_CHOSEN_OF(13)
GW_CHOSEN_OF(14)
GW_CHOSEN_OF(15)
GW_CHOSEN_OF(16)

/* By the vectors of a block of depth. */
static const GwChosenRows gw_chosen_rows[GW_CHOSEN_DEPTH / 16 + 1] = {
    0,           gw_chosen_1,  gw_chosen_2,  gw_chosen_3,  gw_chosen_4,  gw_chosen_5,
    gw_chosen_6, gw_chosen_7,  gw_chosen_8,  gw_chosen_9,  gw_chosen_10, gw_chosen_11,
    gw_chosen_12, gw_chosen_13, gw_chosen_14, gw_chosen_15, gw_chosen_16,
};

/* `width` columns of b, each `depth` numbers long, padded with zeros to `pitch`; behind all that there
 * can be, one of zeros. */
static void gw_chosen_panel(int64_t depth, int64_t pitch, int64_t width, const float* b,
                            int64_t b_row, float* to) {
  gw_turn_whole(width, depth, b, b_row, to, pitch);
  for (int64_t j = 0; j < width; j++)
    for (int64_t k = depth; k < pitch; k++) to[j * pitch + k] = 0;
  memset(to + GW_CHOSEN_COLUMNS * pitch, 0, sizeof(float) * (size_t)pitch);
}

/* Which of some numbers are above 0. */
GW_INLINE uint32_t gw_above(int64_t count, const float* wanted) {
  uint32_t bits = 0;
  for (int64_t j = 0; j < count; j += GW_LANES) {
    const GwVector v = gw_first_load(wanted + j, gw_first(GW_MIN(count - j, GW_LANES)));
    bits |= (uint32_t)_mm512_cmp_ps_mask(v, gw_all(0), _CMP_GT_OQ) << j;
  }
  return bits;
}

/* The product, if enough of it is not wanted; else 0, and nothing is done. See gw_gemm_chosen. */
static int gw_chosen(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row,
                     int64_t a_step, const float* b, int64_t b_row, int64_t b_step, float* c,
                     int64_t c_row, const float* wanted, int64_t wanted_row, int sides) {
  if (depth < GW_CHOSEN_LEAST || rows < GW_SPARSE_ROWS || a_step != 1 || b_step != 1) return 0;
  const int64_t words = (columns + GW_CHOSEN_COLUMNS - 1) / GW_CHOSEN_COLUMNS;
  uint32_t* bits = (uint32_t*)gw_workspace(sizeof(uint32_t) * (size_t)(rows * words));
  if (!bits) return 0;
  int64_t count = 0;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t w = 0; w < words; w++) {
      const int64_t j = w * GW_CHOSEN_COLUMNS, width = GW_MIN(GW_CHOSEN_COLUMNS, columns - j);
      const uint32_t some = gw_above(width, wanted + i * wanted_row + j);
      count += __builtin_popcount(some);
      bits[i * words + w] = some;
    }
  const int64_t unwanted = 100 - count * 100 / (rows * columns);
  if (unwanted < GW_UNWANTED) return 0;
  if ((sides & GW_LEFT) && gw_zeros(rows, columns, depth, a, a_row, 1) > unwanted) return 0;
  const int64_t deepest = gw_evenly(depth, GW_CHOSEN_DEPTH, GW_LANES);
  float panel[(GW_CHOSEN_COLUMNS + 1) * GW_CHOSEN_DEPTH] __attribute__((aligned(64)));
  for (int64_t w = 0; w < words; w++) {
    const int64_t j = w * GW_CHOSEN_COLUMNS, width = GW_MIN(GW_CHOSEN_COLUMNS, columns - j);
    for (int64_t k = 0; k < depth; k += deepest) {
      const int64_t deep = GW_MIN(deepest, depth - k), vectors = (deep + GW_LANES - 1) / GW_LANES;
      gw_chosen_panel(deep, vectors * GW_LANES, width, b + k * b_row + j, b_row, panel);
      gw_chosen_rows[vectors](rows, width, (deep - 1) % GW_LANES + 1, a + k, a_row, panel,
                              bits + w, words, c + j, c_row, k > 0);
    }
  }
  return 1;
}
#endif
#endif

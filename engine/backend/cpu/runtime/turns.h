/* Small pieces of matrices and images turned round. */
#ifndef GW_TURNS_H
#define GW_TURNS_H
#include "vectors.h"
#if defined(__AVX2__)
#include <immintrin.h>

/* Each half of four vectors as four rows: rows become columns. */
GW_INLINE void gw_turn_four(__m256* v) {
  const __m256 a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
  const __m256 c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
  v[0] = _mm256_shuffle_ps(a, c, 0x44);
  v[1] = _mm256_shuffle_ps(a, c, 0xee);
  v[2] = _mm256_shuffle_ps(b, d, 0x44);
  v[3] = _mm256_shuffle_ps(b, d, 0xee);
}

/* Eight vectors as eight rows: rows become columns. */
GW_INLINE void gw_turn_eight(__m256* v) {
  __m256 near[4], far[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    near[i] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x20);
    far[i] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x31);
  }
  gw_turn_four(near);
  gw_turn_four(far);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    v[i] = near[i];
    v[i + 4] = far[i];
  }
}

/* out[6][.] (rows `pitch` apart, eight lanes) of the first six numbers of eight vectors. */
GW_INLINE void gw_turn_six(__m256* v, float* out, int64_t pitch) {
  gw_turn_eight(v);
#pragma GCC unroll 6
  for (int i = 0; i < 6; i++) _mm256_storeu_ps(out + i * pitch, v[i]);
}

/* Lanes from..to, the others nothing. */
GW_INLINE __m256i gw_lanes_between(int64_t from, int64_t to) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32((int)from - 1)),
                          _mm256_cmpgt_epi32(_mm256_set1_epi32((int)to), lane));
}
#endif

/* Eight rows of eight, turned. */
GW_INLINE void gw_turn(const float* b, int64_t b_row, float* to, int64_t to_row) {
#if defined(__AVX2__)
#pragma GCC unroll 2
  for (int half = 0; half < 8; half += 4) {
    __m256 r[4], s[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
      r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(b + i * b_row + half)),
                                  _mm_loadu_ps(b + (i + 4) * b_row + half), 1);
    s[0] = _mm256_unpacklo_ps(r[0], r[1]);
    s[1] = _mm256_unpackhi_ps(r[0], r[1]);
    s[2] = _mm256_unpacklo_ps(r[2], r[3]);
    s[3] = _mm256_unpackhi_ps(r[2], r[3]);
    float* at = to + half * to_row;
    _mm256_storeu_ps(at, _mm256_shuffle_ps(s[0], s[2], 0x44));
    _mm256_storeu_ps(at + to_row, _mm256_shuffle_ps(s[0], s[2], 0xee));
    _mm256_storeu_ps(at + 2 * to_row, _mm256_shuffle_ps(s[1], s[3], 0x44));
    _mm256_storeu_ps(at + 3 * to_row, _mm256_shuffle_ps(s[1], s[3], 0xee));
  }
#else
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) to[j * to_row + i] = b[i * b_row + j];
#endif
}

#if defined(GW_WIDEST)
/* Sixteen rows of sixteen, turned: fours within lanes, then lanes. */
GW_INLINE void gw_turn_sixteen(const float* b, int64_t b_row, float* to, int64_t to_row) {
  __m512 r[16], s[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_ps(b + i * b_row);
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512 t0 = _mm512_unpacklo_ps(r[i], r[i + 1]), t1 = _mm512_unpackhi_ps(r[i], r[i + 1]);
    const __m512 t2 = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
    const __m512 t3 = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
    s[i] = _mm512_shuffle_ps(t0, t2, 0x44), s[i + 1] = _mm512_shuffle_ps(t0, t2, 0xee);
    s[i + 2] = _mm512_shuffle_ps(t1, t3, 0x44), s[i + 3] = _mm512_shuffle_ps(t1, t3, 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    const __m512 a = _mm512_shuffle_f32x4(s[i], s[i + 4], 0x44);
    const __m512 b = _mm512_shuffle_f32x4(s[i], s[i + 4], 0xee);
    const __m512 c = _mm512_shuffle_f32x4(s[i + 8], s[i + 12], 0x44);
    const __m512 d = _mm512_shuffle_f32x4(s[i + 8], s[i + 12], 0xee);
    _mm512_storeu_ps(to + i * to_row, _mm512_shuffle_f32x4(a, c, 0x88));
    _mm512_storeu_ps(to + (i + 4) * to_row, _mm512_shuffle_f32x4(a, c, 0xdd));
    _mm512_storeu_ps(to + (i + 8) * to_row, _mm512_shuffle_f32x4(b, d, 0x88));
    _mm512_storeu_ps(to + (i + 12) * to_row, _mm512_shuffle_f32x4(b, d, 0xdd));
  }
}
#endif

/* to[i][j] = from[j][i], of so many rows and columns of `to`. */
static inline void gw_turn_whole(int64_t rows, int64_t columns, const float* from,
                                 int64_t from_row, float* to, int64_t to_row) {
  const int64_t tall = rows / 8 * 8, wide = columns / 8 * 8;
  int64_t i = 0;
#if defined(GW_WIDEST)
  for (; i + 16 <= rows; i += 16) {
    for (int64_t j = 0; j + 16 <= columns; j += 16)
      gw_turn_sixteen(from + j * from_row + i, from_row, to + i * to_row + j, to_row);
    for (int64_t j = columns / 16 * 16; j < wide; j += 8) {
      gw_turn(from + j * from_row + i, from_row, to + i * to_row + j, to_row);
      gw_turn(from + j * from_row + i + 8, from_row, to + (i + 8) * to_row + j, to_row);
    }
  }
#endif
  for (; i < tall; i += 8)
    for (int64_t j = 0; j < wide; j += 8)
      gw_turn(from + j * from_row + i, from_row, to + i * to_row + j, to_row);
  for (i = 0; i < rows; i++)
    for (int64_t j = i < tall ? wide : 0; j < columns; j++)
      to[i * to_row + j] = from[j * from_row + i];
}

/* `width` columns of b as a panel of `wide` numbers a row; what is missing of it is 0. */
static void gw_pack_panel(int64_t depth, int64_t width, int64_t wide, const float* b,
                          int64_t b_row, int64_t b_step, float* to) {
  if (width == wide && wide == 2 * GW_LANES && b_step == 1) {
    for (int64_t k = 0; k < depth; k++) {
      gw_store(to + k * wide, gw_load(b + k * b_row));
      gw_store(to + k * wide + GW_LANES, gw_load(b + k * b_row + GW_LANES));
    }
    return;
  }
  int64_t ready = 0, whole = depth / 8 * 8;
  if (b_step == 1)
    for (; ready + GW_LANES <= width; ready += GW_LANES)
      for (int64_t k = 0; k < depth; k++)
        gw_store(to + k * wide + ready, gw_load(b + k * b_row + ready));
#if defined(GW_WIDEST)
  else if (b_row == 1)
    for (; ready + 16 <= width && whole >= 16; ready += 16) {
      const float* from = b + ready * b_step;
      float* at = to + ready;
      for (int64_t k = 0; k < depth / 16 * 16; k += 16) {
        if (k + 64 < depth)
#pragma GCC unroll 16
          for (int64_t j = 0; j < 16; j++) __builtin_prefetch(from + j * b_step + k + 64);
        gw_turn_sixteen(from + k, b_step, at + k * wide, wide);
      }
      for (int64_t k = depth / 16 * 16; k < depth; k++)
        for (int64_t j = 0; j < 16; j++) at[k * wide + j] = from[j * b_step + k];
    }
  if (b_step != 1 && b_row == 1)
#else
  else if (b_row == 1)
#endif
    for (; ready + 8 <= width; ready += 8) {
      for (int64_t k = 0; k < whole; k += 8) {
#pragma GCC unroll 8
        for (int64_t j = ready; j < ready + 8; j++) __builtin_prefetch(b + j * b_step + k + 64);
        gw_turn(b + ready * b_step + k, b_step, to + k * wide + ready, wide);
      }
      for (int64_t k = whole; k < depth; k++)
        for (int64_t j = ready; j < ready + 8; j++) to[k * wide + j] = b[j * b_step + k];
    }
#if defined(GW_WIDEST)
  if (b_step == 1 && ready < width) {
    const __mmask16 first = (__mmask16)((1u << (width - ready)) - 1);
    for (int64_t k = 0; k < depth; k++)
      gw_store(to + k * wide + ready, _mm512_maskz_loadu_ps(first, b + k * b_row + ready));
    ready += GW_LANES;
  }
#endif
  for (int64_t k = 0; k < depth && ready < wide; k++) {
    for (int64_t j = ready; j < width; j++) to[k * wide + j] = b[k * b_row + j * b_step];
    for (int64_t j = GW_MAX(ready, width); j < wide; j++) to[k * wide + j] = 0;
  }
}
#endif

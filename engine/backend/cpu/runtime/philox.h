/* Philox4x32-10 of Salmon et al. (SC 2011): the very words of engine/backend/philox.py. */
#ifndef GW_PHILOX_H
#define GW_PHILOX_H
#include <stdint.h>

enum { GW_PHILOX_LANES = 16, GW_PHILOX_WORDS = 4 * GW_PHILOX_LANES };

GW_SHARED void gw_philox(uint64_t seed, uint64_t step, uint32_t draw, uint32_t first,
                         uint32_t* restrict words);

#ifdef GW_LIBRARY
#if defined(__AVX2__)
#include <immintrin.h>

/* One product of eight numbers by `factor`: low halves, and high halves at `high`. */
static inline __m256i gw_philox_times(__m256i x, __m256i factor, __m256i* high) {
  __m256i even = _mm256_mul_epu32(x, factor);
  __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), factor);
  *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
  return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
}

/* The 32 words of eight blocks: compilers make more of the products than they are. */
static inline void gw_philox_eight(uint64_t seed, uint64_t step, uint32_t draw, uint32_t first,
                                   uint32_t* words) {
  const __m256i one = _mm256_set1_epi32((int)0xD2511F53u);
  const __m256i two = _mm256_set1_epi32((int)0xCD9E8D57u);
  __m256i a = _mm256_add_epi32(_mm256_set1_epi32((int)first),
                               _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  __m256i b = _mm256_set1_epi32((int)draw), c = _mm256_set1_epi32((int)(uint32_t)step);
  __m256i d = _mm256_set1_epi32((int)(uint32_t)(step >> 32));
  uint32_t left = (uint32_t)seed, right = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    __m256i p, q, low = gw_philox_times(a, one, &p), other = gw_philox_times(c, two, &q);
    a = _mm256_xor_si256(_mm256_xor_si256(q, b), _mm256_set1_epi32((int)left));
    c = _mm256_xor_si256(_mm256_xor_si256(p, d), _mm256_set1_epi32((int)right));
    b = other;
    d = low;
    left += 0x9E3779B9u;
    right += 0xBB67AE85u;
  }
  __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
  __m256i more = _mm256_unpackhi_epi32(a, b), rest = _mm256_unpackhi_epi32(c, d);
  __m256i r[4] = {_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd),
                  _mm256_unpacklo_epi64(more, rest), _mm256_unpackhi_epi64(more, rest)};
  for (int i = 0; i < 2; i++) {
    __m256i* to = (__m256i*)(words + 8 * i);
    _mm256_storeu_si256(to, _mm256_permute2x128_si256(r[2 * i], r[2 * i + 1], 0x20));
    _mm256_storeu_si256(to + 2, _mm256_permute2x128_si256(r[2 * i], r[2 * i + 1], 0x31));
  }
}

/* The 64 words of 16 blocks, from block `first` on. */
void gw_philox(uint64_t seed, uint64_t step, uint32_t draw, uint32_t first,
               uint32_t* restrict words) {
  gw_philox_eight(seed, step, draw, first, words);
  gw_philox_eight(seed, step, draw, first + 8, words + 32);
}
#else
/* The 64 words of 16 blocks, from block `first` on. */
void gw_philox(uint64_t seed, uint64_t step, uint32_t draw, uint32_t first,
               uint32_t* restrict words) {
  uint32_t a[GW_PHILOX_LANES], b[GW_PHILOX_LANES], c[GW_PHILOX_LANES], d[GW_PHILOX_LANES];
  uint32_t left = (uint32_t)seed, right = (uint32_t)(seed >> 32);
  for (int l = 0; l < GW_PHILOX_LANES; l++) {
    a[l] = first + (uint32_t)l;
    b[l] = draw;
    c[l] = (uint32_t)step;
    d[l] = (uint32_t)(step >> 32);
  }
  for (int round = 0; round < 10; round++) {
    for (int l = 0; l < GW_PHILOX_LANES; l++) {
      uint64_t p = (uint64_t)a[l] * 0xD2511F53u, q = (uint64_t)c[l] * 0xCD9E8D57u;
      a[l] = (uint32_t)(q >> 32) ^ b[l] ^ left;
      b[l] = (uint32_t)q;
      c[l] = (uint32_t)(p >> 32) ^ d[l] ^ right;
      d[l] = (uint32_t)p;
    }
    left += 0x9E3779B9u;
    right += 0xBB67AE85u;
  }
  for (int l = 0; l < GW_PHILOX_LANES; l++) {
    words[4 * l] = a[l];
    words[4 * l + 1] = b[l];
    words[4 * l + 2] = c[l];
    words[4 * l + 3] = d[l];
  }
}
#endif
#endif
#endif

/* Philox4x32-10 of Salmon et al. (SC 2011): the very words of engine/backend/philox.py. */
#ifndef GW_PHILOX_H
#define GW_PHILOX_H
#include <stdint.h>

enum { GW_PHILOX_LANES = 16, GW_PHILOX_WORDS = 4 * GW_PHILOX_LANES };

/* The 64 words of 16 blocks, from block `first` on. */
static inline void gw_philox(uint64_t seed, uint64_t step, uint32_t draw, uint32_t first,
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

/* The functions of gates. One exponential that neither overflows nor meets subnormal numbers makes
 * both; loops over them vectorise. A test measures the errors that are stated. */
#ifndef GW_GATES_H
#define GW_GATES_H
#include "vector_math.h"

/* e^x = scale (1 + rest) for |x| < 88: scale is a power of 2, and rest relatively exact near 0. */
typedef struct {
  float scale, rest;
} GwPower;

static inline GwPower gw_power(float x) {
  float shifted = fmaf(x, 0x1.715476p+0f, 12582912.0f), n = shifted - 12582912.0f;
  float f = fmaf(x, 0x1.715476p+0f, -n);
  f = fmaf(x, 0x1.4ae0c0p-26f, f);
  float p = 0x1.4308e2p-13f;
  p = fmaf(p, f, 0x1.5f07dcp-10f);
  p = fmaf(p, f, 0x1.3b2ba0p-7f);
  p = fmaf(p, f, 0x1.c6af6ep-5f);
  p = fmaf(p, f, 0x1.ebfbdep-3f);
  p = fmaf(p, f, 0x1.62e430p-1f);
  GwPower made = {gw_from_bits((gw_to_bits(shifted) << 23) + 0x3f800000u), p * f};
  return made;
}

static inline float gw_within(float x, float most) {
  return fabsf(x) > most ? copysignf(most, x) : x;
}

/* 1 / (1 + e^-x); 3 ulp. Below -87 it stays at e^-87. */
static inline float gw_gate_sigmoid(float x) {
  GwPower e = gw_power(-gw_within(x, 87.0f));
  return 1.0f / fmaf(e.scale, e.rest, e.scale + 1.0f);
}

/* tanh x = (e^2x - 1) / (e^2x + 1); 4 ulp. */
static inline float gw_gate_tanh(float x) {
  GwPower e = gw_power(2.0f * gw_within(x, 9.02f));
  float less = fmaf(e.scale, e.rest, e.scale - 1.0f);
  return less / (less + 2.0f);
}
#endif

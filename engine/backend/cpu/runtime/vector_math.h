/* Elementary functions of float, without branches or tables, so that loops over them vectorise and
 * the result does not depend on the C library. Coefficients: weighted minimax fits over the stated
 * intervals. The largest error in units in the last place stands beside each; a test measures it. */
#ifndef GW_VECTOR_MATH_H
#define GW_VECTOR_MATH_H
#include <math.h>
#include <stdint.h>

static inline float gw_from_bits(uint32_t u) { union { uint32_t u; float f; } c; c.u = u; return c.f; }
static inline uint32_t gw_to_bits(float f) { union { uint32_t u; float f; } c; c.f = f; return c.u; }

/* e^x; 0 below -103.97, infinity above 88.72; 2 ulp. r = x - n ln 2, e^r = P(r); 2^n in two steps,
 * for results below the normal ones. What is out of range is chosen last, and not held in range
 * first: compilers copy all that follows a choice, and vectors pay for every copy. */
static inline float gw_exp(float x) {
  float z = fmaf(x, 0x1.715476p+0f, 12582912.0f), n = z - 12582912.0f;
  float r = fmaf(n, -0x1.62e400p-1f, x);
  r = fmaf(n, -0x1.7f7d1cp-20f, r);
  float p = 0x1.6db414p-10f;
  p = fmaf(p, r, 0x1.123b46p-7f);
  p = fmaf(p, r, 0x1.55545ep-5f);
  p = fmaf(p, r, 0x1.555490p-3f);
  p = fmaf(p, r, 0.5f);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  uint32_t whole = gw_to_bits(z) << 23, half = gw_to_bits(z) << 22 & 0xff800000u;
  float y = gw_from_bits(gw_to_bits(p) + half) * gw_from_bits(whole - half + 0x3f800000u);
  y = x <= 89.0f ? y : x + INFINITY;
  return x < -104.0f ? 0.0f : y;
}

/* ln x; -inf at 0, NaN below; 1 ulp. x = 2^e (1 + f), ln(1 + f) = f - f^2/2 + f^3 P(f). */
static inline float gw_log(float x) {
  float scaled = x < 0x1p-126f ? x * 0x1p23f : x;
  float shift = x < 0x1p-126f ? -23.0f : 0.0f;
  uint32_t bits = gw_to_bits(scaled) - 0x3f3504f3u;
  float e = (float)((int32_t)bits >> 23) + shift;
  float f = gw_from_bits((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  float p = 0x1.1457a2p-4f;
  p = fmaf(p, f, -0x1.de3c14p-4f);
  p = fmaf(p, f, 0x1.e6f06cp-4f);
  p = fmaf(p, f, -0x1.fc2208p-4f);
  p = fmaf(p, f, 0x1.233768p-3f);
  p = fmaf(p, f, -0x1.555c4ep-3f);
  p = fmaf(p, f, 0x1.99a4b6p-3f);
  p = fmaf(p, f, -0x1.000006p-2f);
  p = fmaf(p, f, 0x1.555548p-2f);
  float z = f * f;
  float y = fmaf(f * z, p, e * -0x1.bd0106p-13f);
  y = fmaf(-0.5f, z, y);
  y = fmaf(e, 0x1.63p-1f, f + y);
  y = x == 0.0f ? -INFINITY : y;
  y = x < 0.0f ? NAN : y;
  return x != x || x == INFINITY ? x : y;
}

/* tanh x; 2 ulp. Odd polynomial below 0.6, 1 - 2 / (e^2x + 1) above. */
static inline float gw_tanh(float x) {
  float a = fabsf(x), z = x * x;
  float p = -0x1.830c06p-8f;
  p = fmaf(p, z, 0x1.54e01cp-6f);
  p = fmaf(p, z, -0x1.b89edap-5f);
  p = fmaf(p, z, 0x1.1109dcp-3f);
  p = fmaf(p, z, -0x1.55553ep-2f);
  float small = fmaf(x * z, p, x);
  float large = copysignf(1.0f - 2.0f / (gw_exp(2.0f * a) + 1.0f), x);
  float y = a < 0.6f ? copysignf(small, x) : large;
  return x != x ? x : y;
}

/* erf x below 0.9, as x P(z); z: x^2. */
static inline float gw_erf_near(float x, float z) {
  float p = -0x1.3f503ep-11f;
  p = fmaf(p, z, 0x1.487704p-8f);
  p = fmaf(p, z, -0x1.b6beeep-6f);
  p = fmaf(p, z, 0x1.ce1dd4p-4f);
  p = fmaf(p, z, -0x1.8126fap-2f);
  p = fmaf(p, z, 0x1.20dd74p+0f);
  return x * p;
}

/* erf x; 3 ulp. gw_erf_near below 0.9, 1 - 2^Q(x) to 3.92, 1 above. */
static inline float gw_erf(float x) {
  float a = fabsf(x), near = gw_erf_near(x, x * x);
  float q = -0x1.d9557cp-10f;
  q = fmaf(q, a, 0x1.703e80p-6f);
  q = fmaf(q, a, -0x1.0d31e4p-3f);
  q = fmaf(q, a, -0x1.e0afd0p-1f);
  q = fmaf(q, a, -0x1.9db852p+0f);
  q = fmaf(q, a, -0x1.630dd2p-9f);
  float n = q + 12582912.0f, f = q - (n - 12582912.0f);
  float e = 0x1.5c08e4p-10f;
  e = fmaf(e, f, 0x1.3d0c54p-7f);
  e = fmaf(e, f, 0x1.c6b6e6p-5f);
  e = fmaf(e, f, 0x1.ebf918p-3f);
  e = fmaf(e, f, 0x1.62e428p-1f);
  e = fmaf(e, f, 0x1.000002p+0f);
  float large = 1.0f - gw_from_bits(gw_to_bits(e) + (gw_to_bits(n) << 23));
  large = a > 3.92f ? 1.0f : large;
  return a >= 0.9f ? copysignf(large, x) : near;
}

/* erf x and e^(-x^2), which share what is dear in them. */
typedef struct {
  float erf, bell;
} GwErfBell;

/* erf x; 3 ulp. gw_erf_near below 0.9, 1 - e^(-x^2) R(x) from there on. */
static inline GwErfBell gw_erf_bell(float x) {
  float a = fabsf(x), z = x * x;
  float near = gw_erf_near(x, z), e = gw_exp(-z), b = a < 4.0f ? a : 4.0f;
  float r = -0x1.049b84p-11f;
  r = fmaf(r, b, 0x1.e08680p-8f);
  r = fmaf(r, b, -0x1.87b43ap-5f);
  r = fmaf(r, b, 0x1.77171cp-3f);
  r = fmaf(r, b, -0x1.d9e822p-2f);
  r = fmaf(r, b, 0x1.a51d92p-1f);
  r = fmaf(r, b, -0x1.10574ep+0f);
  r = fmaf(r, b, 0x1.faa6eep-1f);
  GwErfBell y = {a >= 0.9f ? copysignf(fmaf(-e, r, 1.0f), x) : near, e};
  return y;
}

/* 1 / (1 + e^-x), without overflow; 3 ulp. */
static inline float gw_sigmoid(float x) {
  float e = gw_exp(-fabsf(x));
  float y = 1.0f / (1.0f + e);
  return x < 0.0f ? e * y : y;
}

/* ln(1 + x); 3 ulp: the rounding of 1 + x is made good. */
static inline float gw_log1p(float x) {
  float u = 1.0f + x;
  float y = gw_log(u) * (x / (u - 1.0f));
  return u == 1.0f || x == INFINITY ? x : y;
}

/* e^x - 1; 4 ulp. */
static inline float gw_expm1(float x) {
  float u = gw_exp(x), m = u - 1.0f;
  float y = m * (x / gw_log(u));
  y = u == 1.0f ? x : y;
  return m == -1.0f || u > 0x1p100f ? m : y;
}

/* ln(1 + e^x), without overflow; 3 ulp. */
static inline float gw_softplus(float x) {
  return (x > 0.0f || x != x ? x : 0.0f) + gw_log1p(gw_exp(-fabsf(x)));
}
static inline double gw_softplus_double(double x) {
  return (x > 0.0 || x != x ? x : 0.0) + log1p(exp(-fabs(x)));
}
static inline double gw_sigmoid_double(double x) { return 1.0 / (1.0 + exp(-x)); }
/* 1 / sqrt x; 2 ulp. */
static inline float gw_rsqrt(float x) { return 1.0f / sqrtf(x); }
static inline double gw_rsqrt_double(double x) { return 1.0 / sqrt(x); }
static inline float gw_clip(float x, float low, float high) {
  float y = x < low ? low : x;
  return y > high ? high : y;
}
static inline double gw_clip_double(double x, double low, double high) {
  double y = x < low ? low : x;
  return y > high ? high : y;
}
#endif

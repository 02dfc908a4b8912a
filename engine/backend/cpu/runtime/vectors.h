/* Vectors of float as wide as the processor has them, and fused products that the compiler may not
 * take apart. Everything that is built on them works lane by lane, in an order fixed by shapes. */
#ifndef GW_VECTORS_H
#define GW_VECTORS_H
#include <stdlib.h>

/* Some processors take vectors of 512 bits in two halves. There only kernels that gain from masks
 * and from more registers use them: those that define GW_MASKS. A compiler older than Zen 5 takes
 * that for one of its forerunners, which lack one of its instructions. */
#if (defined(__znver3__) || defined(__znver4__)) && !defined(__AVX512VP2INTERSECT__)
#define GW_HALVES 1
#endif
#if defined(__AVX512F__) && (defined(GW_MASKS) || !defined(GW_HALVES))
#define GW_WIDEST 1
#include <immintrin.h>
typedef __m512 GwVector;
enum { GW_LANES = 16 };
#define gw_load(p) _mm512_loadu_ps(p)
#define gw_store(p, v) _mm512_storeu_ps(p, v)
#define gw_all(a) _mm512_set1_ps(a)
#define gw_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define gw_most(a, b) _mm512_max_ps(a, b)
#elif defined(__AVX2__) && defined(__FMA__)
enum { GW_LANES = 8 };
#if defined(__clang__) || defined(GW_LIBRARY)
#include <immintrin.h>
typedef __m256 GwVector;
#define gw_load(p) _mm256_loadu_ps(p)
#define gw_store(p, v) _mm256_storeu_ps(p, v)
#define gw_all(a) _mm256_set1_ps(a)
#define gw_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define gw_most(a, b) _mm256_max_ps(a, b)
#else /* the same for GCC, which takes longer to read immintrin.h than to compile a kernel */
typedef float GwVector __attribute__((vector_size(32), may_alias));
typedef float GwUnaligned __attribute__((vector_size(32), may_alias, aligned(4)));
#define gw_load(p) ((GwVector) * (const GwUnaligned*)(p))
#define gw_store(p, v) (*(GwUnaligned*)(p) = (v))
static inline GwVector gw_all(float a) { return (GwVector){a, a, a, a, a, a, a, a}; }
#define gw_fma(a, b, c) __builtin_ia32_vfmaddps256(a, b, c)
#define gw_most(a, b) __builtin_ia32_maxps256(a, b)
#endif
/* Keep a vector in its register: compilers load it again for every product, and loads run out. */
#define GW_HOLD(v) __asm__("" : "+x"(v))
#else
typedef float GwVector __attribute__((vector_size(16), aligned(4), may_alias));
enum { GW_LANES = 4 };
static inline GwVector gw_load(const float* p) { return *(const GwVector*)p; }
static inline void gw_store(float* p, GwVector v) { *(GwVector*)p = v; }
static inline GwVector gw_all(float a) { return (GwVector){a, a, a, a}; }
static inline GwVector gw_fma(GwVector a, GwVector b, GwVector c) { return a * b + c; }
static inline GwVector gw_most(GwVector a, GwVector b) {
  GwVector most;
  for (int l = 0; l < 4; l++) most[l] = a[l] > b[l] ? a[l] : b[l];
  return most;
}
#endif

#ifndef GW_HOLD
#define GW_HOLD(v) (void)(v)
#endif

#define GW_INLINE static inline __attribute__((always_inline))

enum { GW_WIDE = 16 }; /* rows of vectors are padded to so many floats on every processor */

/* Memory of this thread that kernels share one after another; NULL where there is none left. */
static __thread void* gw_kept;
static __thread size_t gw_kept_bytes;
static inline float* gw_workspace(size_t bytes) {
  if (gw_kept_bytes < bytes) {
    free(gw_kept);
    gw_kept = aligned_alloc(64, (bytes + 4095) / 4096 * 4096);
    gw_kept_bytes = gw_kept ? bytes : 0;
  }
  return (float*)gw_kept;
}

/* How long blocks of `length` are, none longer than `most`, in multiples of `grain`: alike. */
static inline int64_t gw_evenly(int64_t length, int64_t most, int64_t grain) {
  int64_t blocks = GW_MAX((length + most - 1) / most, 1), each = (length + blocks - 1) / blocks;
  return GW_MAX((each + grain - 1) / grain, 1) * grain;
}

/* c[i][j] (+)= sum over k of a[i * row + k * step] b[k][j] for ROWS rows and NV vectors of j. The
 * sum is made on its own, then added: long sums in blocks lose fewer digits. */
GW_INLINE void gw_tile_of(const int ROWS, const int NV, int64_t depth, const float* a, int64_t row,
                          int64_t step, const float* b, int64_t b_row, float* c, int64_t c_row,
                          int add) {
  GwVector s[12][4];
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) s[i][j] = gw_all(0);
  for (int64_t k = 0; k < depth; k++) {
    GwVector t[4];
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
      t[j] = gw_load(b + k * b_row + j * GW_LANES);
      if (ROWS * NV + NV < 16) GW_HOLD(t[j]);
    }
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++) {
      GwVector v = gw_all(a[i * row + k * step]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) s[i][j] = gw_fma(v, t[j], s[i][j]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
      float* at = c + i * c_row + j * GW_LANES;
      if (add) s[i][j] += gw_load(at);
      gw_store(at, s[i][j]);
    }
}
#endif

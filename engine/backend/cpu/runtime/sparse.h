/* Products c = a b where many numbers of a are 0, as behind a ReLU, in its gradient and behind
 * dropout: a row of c is the sum of those rows of b whose number in the row of a is not 0. Bits say
 * which are not, a block of depth at a time; b is packed in panels that stay in the first cache.
 *
 * An element is added up in the order of gemm.h, and 0 times a finite number adds nothing: no bit
 * is another, but the sign of a zero that underflow left. Where b is not finite, nothing is done. */
#ifndef GW_SPARSE_H
#define GW_SPARSE_H
#include "end.h"
#include "turns.h"

/* A vector is a span; a panel has so many of them at most, and so many numbers. */
#if defined(__AVX512F__)
#define GW_SPARSE 1
typedef __m512 GwSpan;
enum { GW_SPAN = 16, GW_SPANS = 8, GW_PANEL = 8192 };
#define gw_span_load(p) _mm512_loadu_ps(p)
#define gw_span_store(p, v) _mm512_storeu_ps(p, v)
#define gw_span_all(a) _mm512_set1_ps(a)
#define gw_span_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define gw_span_most(a, b) _mm512_max_ps(a, b)
#define gw_span_none(v) (_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ) == 0)
#define gw_span_some(p) \
  _mm512_cmp_ps_mask(_mm512_loadu_ps(p), _mm512_setzero_ps(), _CMP_NEQ_UQ)
typedef __mmask16 GwFirst; /* of the numbers of a span */
#define gw_first(count) ((GwFirst)((1u << (count)) - 1))
#define gw_first_load(p, first) _mm512_maskz_loadu_ps(first, p)
#define gw_first_store(p, first, v) _mm512_mask_storeu_ps(p, first, v)
#elif defined(__AVX2__) && defined(__FMA__) && defined(__BMI2__)
#define GW_SPARSE 1
typedef __m256 GwSpan;
enum { GW_SPAN = 8, GW_SPANS = 12, GW_PANEL = 6144 };
#define gw_span_load(p) _mm256_loadu_ps(p)
#define gw_span_store(p, v) _mm256_storeu_ps(p, v)
#define gw_span_all(a) _mm256_set1_ps(a)
#define gw_span_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define gw_span_most(a, b) _mm256_max_ps(a, b)
#define gw_span_none(v) \
  (_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ)) == 0)
#define gw_span_some(p) \
  (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(p), _mm256_setzero_ps(), _CMP_NEQ_UQ))
typedef __m256i GwFirst; /* of the numbers of a span */
#define gw_first(count) gw_lanes_between(0, count)
#define gw_first_load(p, first) _mm256_maskload_ps(p, first)
#define gw_first_store(p, first, v) _mm256_maskstore_ps(p, first, v)
#endif

#ifdef GW_SPARSE
/* A number in all of a span. Where a span is loaded in halves, loads are what there is too little of:
 * there the number comes by way of a register for integers, which are loaded beside them. */
GW_INLINE GwSpan gw_span_each(const float* number) {
#if defined(GW_HALVES) && defined(__AVX512F__)
  int32_t bits;
  memcpy(&bits, number, sizeof(bits));
  __asm__("" : "+r"(bits));
  return (GwSpan)_mm512_set1_epi32(bits);
#else
  return gw_span_all(*number);
#endif
}

/* Depth of a block, at most: bits of a word. Rows of one; lines of a that are looked at for zeros,
 * and how many of a hundred numbers must be 0; sizes from which it is worth to look for them. */
enum { GW_BITS = 64, GW_TOGETHER = 256, GW_LOOKS = 16, GW_ZEROS = 35 };
enum { GW_SPARSE_ROWS = 16, GW_SPARSE_COLUMNS = 64, GW_SPARSE_DEPTH = 32 };

/* Some rows of a, of a block of depth: bit k of `some` says that number k is not 0. */
typedef struct {
  const float* values;
  int64_t row;
  const uint64_t* some;
} GwRows;

/* Which of `depth` numbers that follow each other are not 0. */
static inline uint64_t gw_some(int64_t depth, const float* a) {
  uint64_t some = 0;
  int64_t k = 0;
  for (; k + GW_SPAN <= depth; k += GW_SPAN) some |= (uint64_t)gw_span_some(a + k) << k;
  for (; k < depth; k++) some |= (uint64_t)(a[k] != 0) << k;
  return some;
}

/* Rows of a that lie side by side, one after another. */
static void gw_turn_rows(int64_t rows, int64_t depth, const float* a, int64_t step, float* to) {
  for (int64_t i = 0; i < rows; i += 16, a += 16, to += 16 * GW_BITS) {
    const int64_t some = GW_MIN(16, rows - i), whole = some == 16 ? depth / 8 * 8 : 0;
    int64_t k = 0;
#if defined(GW_WIDEST)
    for (; k + 16 <= whole; k += 16) {
      for (int l = 0; l < 16; l++) __builtin_prefetch(a + 16 + (k + l) * step);
      gw_turn_sixteen(a + k * step, step, to + k, GW_BITS);
    }
#endif
    for (; k < whole; k += 8) {
      for (int l = 0; l < 8; l++) __builtin_prefetch(a + 16 + (k + l) * step);
      gw_turn(a + k * step, step, to + k, GW_BITS);
      gw_turn(a + k * step + 8, step, to + 8 * GW_BITS + k, GW_BITS);
    }
    for (int64_t l = 0; l < some; l++)
      for (k = whole; k < depth; k++) to[l * GW_BITS + k] = a[l + k * step];
  }
}

/* Rows of c, NV spans wide, from as many rows of a; added to what is there, or not. last: numbers of
 * the last span that c has. Places are made of bits: one that is loaded first holds up the loads
 * behind it. */
GW_INLINE void gw_sparse_of(const int NV, int64_t rows, int64_t last, GwRows a, const float* panel,
                            float* c, int64_t c_row, const GwEnd* end) {
  const GwFirst first = gw_first(last);
  for (int64_t r = 0; r < rows; r++, c += c_row) {
    const float* values = a.values + r * a.row;
    GwSpan s[GW_SPANS];
#pragma GCC unroll 16
    for (int j = 0; j < NV; j++) s[j] = gw_span_all(0);
    if (end->add) {
#pragma GCC unroll 16
      for (int j = 0; j < NV - 1; j++) s[j] = gw_span_load(c + j * GW_SPAN);
      s[NV - 1] = gw_first_load(c + (NV - 1) * GW_SPAN, first);
    }
    for (uint64_t some = a.some[r]; some; some &= some - 1) {
      const int64_t k = __builtin_ctzll(some);
      const GwSpan v = gw_span_each(values + k);
#pragma GCC unroll 16
      for (int j = 0; j < NV; j++)
        s[j] = gw_span_fma(v, gw_span_load(panel + (k * NV + j) * GW_SPAN), s[j]);
    }
    if (end->bias) {
#pragma GCC unroll 16
      for (int j = 0; j < NV - 1; j++) s[j] += gw_span_load(end->bias + j * GW_SPAN);
      s[NV - 1] += gw_first_load(end->bias + (NV - 1) * GW_SPAN, first);
    }
#pragma GCC unroll 16
    for (int j = 0; j < NV; j++)
      if (end->relu) s[j] = gw_span_most(gw_span_all(0), s[j]);
#pragma GCC unroll 16
    for (int j = 0; j < NV - 1; j++) gw_span_store(c + j * GW_SPAN, s[j]);
    if (last == GW_SPAN) gw_span_store(c + (NV - 1) * GW_SPAN, s[NV - 1]);
    else gw_first_store(c + (NV - 1) * GW_SPAN, first, s[NV - 1]);
  }
}

typedef void (*GwSparseRows)(int64_t, int64_t, GwRows, const float*, float*, int64_t,
                             const GwEnd*);
#define GW_SPARSE_OF(NV)                                                                     \
  static __attribute__((noinline)) void gw_sparse_##NV(int64_t rows, int64_t last, GwRows a, \
                                                       const float* panel, float* c,         \
                                                       int64_t c_row, const GwEnd* end) {    \
    gw_sparse_of(NV, rows, last, a, panel, c, c_row, end);                                   \
  }
GW_SPARSE_OF(1)
GW_SPARSE_OF(2)
GW_SPARSE_OF(3)
GW_SPARSE_OF(4)
GW_SPARSE_OF(5)
GW_SPARSE_OF(6)
GW_SPARSE_OF(7)
GW_SPARSE_OF(8)
#if !defined(__AVX512F__)
GW_SPARSE_OF(9)
GW_SPARSE_OF(10)
GW_SPARSE_OF(11)
GW_SPARSE_OF(12)
#endif

/* By the spans of a panel. */
static const GwSparseRows gw_sparse_rows[GW_SPANS + 1] = {
    0,           gw_sparse_1, gw_sparse_2, gw_sparse_3, gw_sparse_4,
    gw_sparse_5, gw_sparse_6, gw_sparse_7, gw_sparse_8,
#if !defined(__AVX512F__)
    gw_sparse_9, gw_sparse_10, gw_sparse_11, gw_sparse_12,
#endif
};

/* Whether all of a panel is finite. */
static int gw_sparse_finite(int64_t depth, int64_t wide, const float* panel) {
  const int64_t spans = depth * wide / GW_SPAN, whole = spans / 4 * 4;
  GwSpan sum[4];
  for (int i = 0; i < 4; i++) sum[i] = gw_span_all(0);
  for (int64_t at = 0; at < whole; at += 4)
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
      sum[i] = gw_span_fma(gw_span_load(panel + (at + i) * GW_SPAN), gw_span_all(0), sum[i]);
  for (int64_t at = whole; at < spans; at++)
    sum[0] = gw_span_fma(gw_span_load(panel + at * GW_SPAN), gw_span_all(0), sum[0]);
  return gw_span_none((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* The panel of columns of b that lie side by side; whether all of it is finite. */
static int gw_sparse_copy(int64_t depth, int64_t wide, const float* b, int64_t b_row, float* to) {
  GwSpan sum[2] = {gw_span_all(0), gw_span_all(0)};
  for (int64_t k = 0; k < depth; k++, b += b_row, to += wide)
    for (int64_t j = 0; j < wide; j += 2 * GW_SPAN)
#pragma GCC unroll 2
      for (int i = 0; i < 2; i++) {
        const GwSpan v = gw_span_load(b + j + i * GW_SPAN);
        sum[i] = gw_span_fma(v, gw_span_all(0), sum[i]);
        gw_span_store(to + j + i * GW_SPAN, v);
      }
  return gw_span_none(sum[0] + sum[1]);
}

/* How many of a hundred numbers of a are 0, as some of its lines tell; 0 where it is not worth
 * making lists of. */
static int64_t gw_zeros(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t row,
                        int64_t step) {
  if (rows < GW_SPARSE_ROWS || columns < GW_SPARSE_COLUMNS || depth < GW_SPARSE_DEPTH ||
      (step != 1 && row != 1))
    return 0;
  const int64_t lines = step == 1 ? rows : depth, length = step == 1 ? depth : rows;
  const int64_t looks = GW_MIN(GW_LOOKS, lines), pitch = step == 1 ? row : step;
  int64_t zeros = 0;
  for (int64_t i = 0; i < looks; i++) {
    const float* line = a + i * lines / looks * pitch;
    int32_t here = 0;
    for (int64_t j = 0; j < length; j++) here += line[j] == 0;
    zeros += here;
  }
  return zeros * 100 / (looks * length);
}

/* Memory for a product of at most so many rows at a time. */
static inline size_t gw_sparse_room(int64_t rows, int64_t columns, int64_t depth,
                                    int64_t deepest, int turned) {
  const int64_t tall = GW_MIN(rows, GW_TOGETHER), sums = deepest < depth ? columns : 0;
  return (size_t)tall * (sizeof(uint64_t) + sizeof(float) * (sums + (turned ? GW_BITS : 0)));
}

/* The product; 0, and c is to be made anew, where b is not finite. deepest: numbers of a block
 * whose sum is made on its own, then added. */
static int gw_sparse_product(int64_t rows, int64_t columns, int64_t depth, int64_t deepest,
                             const float* a, int64_t a_row, int64_t a_step, const float* b,
                             int64_t b_row, int64_t b_step, float* c, int64_t c_row,
                             const float* bias, int relu, void* room) {
  const int64_t spans = (columns + GW_SPAN - 1) / GW_SPAN;
  const int64_t panels = (spans + GW_SPANS - 1) / GW_SPANS;
  const int64_t broad = (spans + panels - 1) / panels * GW_SPAN, tall = GW_MIN(rows, GW_TOGETHER);
  uint64_t* some = room;
  float* turned = (float*)(some + tall);
  float* sums = turned + (a_step == 1 ? 0 : tall * GW_BITS);
  const int64_t most = GW_MIN(GW_BITS, GW_PANEL / broad / 16 * 16);
  float panel[GW_PANEL] __attribute__((aligned(64)));
  for (int64_t i = 0; i < rows; i += tall) {
    const int64_t count = GW_MIN(tall, rows - i);
    for (int64_t from = 0; from < depth; from += deepest) {
      const int64_t stop = GW_MIN(depth, from + deepest), to_row = from ? columns : c_row;
      float* to = from ? sums : c + i * c_row;
      for (int64_t k = from; k < stop; k += most) {
        const int64_t deep = GW_MIN(most, stop - k);
        GwRows of = {a + i * a_row + k * a_step, a_row, some};
        if (a_step != 1) {
          gw_turn_rows(count, deep, of.values, a_step, turned);
          of.values = turned, of.row = GW_BITS;
        }
        for (int64_t r = 0; r < count; r++) some[r] = gw_some(deep, of.values + r * of.row);
        for (int64_t j = 0; j < columns; j += broad) {
          const int64_t width = GW_MIN(broad, columns - j);
          const int64_t across = (width + GW_SPAN - 1) / GW_SPAN, pitch = across * GW_SPAN;
          const float* columns_of = b + k * b_row + j * b_step;
          int finite;
          if (b_step == 1 && width % (2 * GW_SPAN) == 0) {
            finite = gw_sparse_copy(deep, width, columns_of, b_row, panel);
          } else {
            gw_pack_panel(deep, width, pitch, columns_of, b_row, b_step, panel);
            finite = gw_sparse_finite(deep, pitch, panel);
          }
          if (!finite) return 0;
          const int is_last = !from && k + most >= depth;
          const GwEnd end = gw_end_from(gw_end_of(k - from, is_last, bias, relu), j);
          gw_sparse_rows[across](count, (width - 1) % GW_SPAN + 1, of, panel, to + j, to_row,
                                 &end);
        }
      }
      for (int64_t r = 0; from && r < count; r++)
        for (int64_t j = 0; j < columns; j++) c[(i + r) * c_row + j] += sums[r * columns + j];
      if (from && stop == depth)
        gw_end_now(count, columns, c + i * c_row, c_row, gw_end_of(1, 1, bias, relu));
    }
  }
  return 1;
}

#endif

/* Columns that are worth a product without zeros: a panel of a few more would cost as much as one of
 * a whole span. */
static inline int64_t gw_sparse_columns(int64_t columns) {
#ifdef GW_SPARSE
  const int64_t whole = GW_SPANS * GW_SPAN, rest = columns % whole;
  if (columns > whole && rest <= GW_SPAN / 2) return columns - rest;
#endif
  return columns;
}

/* Of which matrices of a product many numbers may be 0. */
enum { GW_LEFT = 1, GW_RIGHT = 2 };

/* The product if a has many zeros, or b has more: then it is that of the turned matrices, turned. 0,
 * and c is to be made anew, if neither has. sides: those that are looked at. */
static int gw_sparse(int64_t rows, int64_t columns, int64_t depth, int64_t deepest, const float* a,
                     int64_t a_row, int64_t a_step, const float* b, int64_t b_row, int64_t b_step,
                     float* c, int64_t c_row, const float* bias, int relu, int sides) {
#ifdef GW_SPARSE
  int64_t left = 0, right = 0;
  if (sides & GW_LEFT) left = gw_zeros(rows, columns, depth, a, a_row, a_step);
  if (sides & GW_RIGHT) right = gw_zeros(columns, rows, depth, b, b_step, b_row);
  if (left < GW_ZEROS && right < GW_ZEROS) return 0;
  if (left >= right) {
    void* room = gw_workspace(gw_sparse_room(rows, columns, depth, deepest, a_step != 1));
    return room && gw_sparse_product(rows, columns, depth, deepest, a, a_row, a_step, b, b_row,
                                     b_step, c, c_row, bias, relu, room);
  }
  const size_t turned_size = sizeof(float) * (size_t)(rows * columns + 16) / 64 * 64;
  const size_t room = gw_sparse_room(columns, rows, depth, deepest, b_row != 1);
  float* turned = gw_workspace(turned_size + room);
  if (!turned || !gw_sparse_product(columns, rows, depth, deepest, b, b_step, b_row, a, a_step,
                                    a_row, turned, rows, 0, 0, (char*)turned + turned_size))
    return 0;
  gw_turn_whole(rows, columns, turned, rows, c, c_row);
  gw_end_now(rows, columns, c, c_row, gw_end_of(0, 1, bias, relu));
  return 1;
#else
  return 0;
#endif
}
#endif

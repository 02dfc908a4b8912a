/* Products of matrices of float: c = a b, in tiles that stay in registers. Columns of b are packed
 * into panels as wide as a tile; a is read where it lies if its rows are whole, else packed too.
 * Tiles of the widest vectors ask so little of the caches that turned matrices, too, are read where
 * they lie: what comes next is fetched ahead.
 * Sums run over blocks of GW_DEPTH in order: shapes alone decide how an element is added up. */
#ifndef GW_GEMM_H
#define GW_GEMM_H
#include <stdint.h>
#include <string.h>
#include "vectors.h"

/* bias: null, or a number for each column that is added to it in the end; relu: whether what is below
 * 0 then becomes 0. */
GW_SHARED void gw_gemm(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row,
                       int64_t a_step, const float* b, int64_t b_row, int64_t b_step, float* c,
                       int64_t c_row, const float* bias, int relu);

/* The same, faster if many numbers of a or b are 0. sides: which of both may be so, GW_LEFT |
 * GW_RIGHT. */
GW_SHARED void gw_gemm_sparse(int64_t rows, int64_t columns, int64_t depth, const float* a,
                              int64_t a_row, int64_t a_step, const float* b, int64_t b_row,
                              int64_t b_step, float* c, int64_t c_row, const float* bias, int relu,
                              int sides);

/* The same where not every element is wanted: those for which `wanted` has a number above 0; it may be
 * c. Whether the others are 0 now; else they are what the product gives. */
#if defined(__AVX512F__)
#define GW_CHOOSES 1
GW_SHARED int gw_gemm_chosen(int64_t rows, int64_t columns, int64_t depth, const float* a,
                             int64_t a_row, int64_t a_step, const float* b, int64_t b_row,
                             int64_t b_step, float* c, int64_t c_row, const float* wanted,
                             int64_t wanted_row, int sides);
#endif

#ifdef GW_LIBRARY
#include "chosen.h"
#include "end.h"
#include "sparse.h"
#include "turns.h"

/* A panel and the rows of a tile stay in the first cache (of the widest vectors: about), a block of
 * rows in the second. GW_IN_PLACE: whether turned matrices are read where they lie. */
#if defined(GW_WIDEST)
enum { GW_TILE_ROWS = 12, GW_DEPTH = 256, GW_IN_PLACE = 1 };
#else
enum { GW_TILE_ROWS = 6, GW_DEPTH = 288, GW_IN_PLACE = 0 };
#endif
enum { GW_TILE_WIDTH = 2 * GW_LANES, GW_HEIGHT = 264, GW_FEW = 4, GW_PACKED = 128, GW_GROUPS = 8 };
/* Columns whose panels are kept for a block of depth, and rows that meet them one panel after
 * another. */
enum { GW_BROAD = 128, GW_BAND = 48 };
/* Rows at a time where columns are few. */
enum { GW_STRIP = 64 };
/* Steps of depth that a tile fetches ahead. */
enum { GW_AHEAD = 16 };

/* Fetch what a tile of c will write, and read if it adds. */
GW_INLINE void gw_tile_touch(const int ROWS, const int NV, const float* c, int64_t c_row) {
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int j = 0; j < NV; j++) __builtin_prefetch(c + i * c_row + j * GW_LANES, 1);
}

/* s += a[.][k] b[k], of ROWS rows and NV vectors. */
GW_INLINE void gw_tile_step(const int ROWS, const int NV, const float* a, int64_t row,
                            const float* b, GwVector s[GW_TILE_ROWS][2]) {
  GwVector t = gw_load(b), u = t;
  GW_HOLD(t);
  if (NV > 1) {
    u = gw_load(b + GW_LANES);
    GW_HOLD(u);
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++) {
    GwVector v = gw_all(a[i * row]);
    s[i][0] = gw_fma(v, t, s[i][0]);
    if (NV > 1) s[i][1] = gw_fma(v, u, s[i][1]);
  }
}

/* c (+)= a b for ROWS rows and a panel of NV vectors; what of a comes next is fetched meanwhile: of
 * whole rows the next ones, of turned ones (row: 1) those further on, and so of b. */
GW_INLINE void gw_tile_ahead(const int ROWS, const int NV, int64_t depth, const float* a,
                             int64_t row, int64_t step, const float* b, int64_t b_row, float* c,
                             int64_t c_row, const GwEnd* end) {
  GwVector s[GW_TILE_ROWS][2];
  if (GW_IN_PLACE) gw_tile_touch(ROWS, NV, c, c_row);
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++) s[i][0] = s[i][1] = gw_all(0);
  if (step == 1) {
    for (int64_t k = 0; k < depth; k += 16) {
      int64_t end = k + 16 < depth ? k + 16 : depth;
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; i++) __builtin_prefetch(a + (ROWS + i) * row + k);
      for (int64_t l = k; l < end; l++) gw_tile_step(ROWS, NV, a + l, row, b + l * b_row, s);
    }
  } else {
    for (int64_t k = 0; k < depth; k++) {
      __builtin_prefetch(a + (k + GW_AHEAD) * step);
      __builtin_prefetch(a + (k + GW_AHEAD) * step + ROWS - 1);
#pragma GCC unroll 2
      for (int j = 0; j < NV; j++) __builtin_prefetch(b + (k + GW_AHEAD) * b_row + j * GW_LANES);
      gw_tile_step(ROWS, NV, a + k * step, 1, b + k * b_row, s);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int j = 0; j < NV; j++)
      if (end->add) s[i][j] += gw_load(c + i * c_row + j * GW_LANES);
  if (end->bias) {
#pragma GCC unroll 2
    for (int j = 0; j < NV; j++) {
      const GwVector bias = gw_load(end->bias + j * GW_LANES);
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; i++) s[i][j] += bias;
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int j = 0; j < NV; j++) {
      if (end->relu) s[i][j] = gw_most(gw_all(0), s[i][j]);
      gw_store(c + i * c_row + j * GW_LANES, s[i][j]);
    }
}

#define GW_TILE_OF(ROWS, NV)                                                                \
  static __attribute__((noinline)) void gw_tile_##ROWS##_##NV(                              \
      int64_t depth, const float* a, int64_t row, int64_t step, const float* b,             \
      int64_t b_row, float* c, int64_t c_row, const GwEnd* end) {                           \
    if (step == 1) gw_tile_ahead(ROWS, NV, depth, a, row, 1, b, b_row, c, c_row, end);      \
    else if (GW_IN_PLACE) /* row is 1 */                                                    \
      gw_tile_ahead(ROWS, NV, depth, a, 1, step, b, b_row, c, c_row, end);                  \
    else {                                                                                  \
      gw_tile_of(ROWS, NV, depth, a, row, step, b, b_row, c, c_row, end->add);              \
      gw_end_now(ROWS, NV * GW_LANES, c, c_row, *end);                                       \
    }                                                                                       \
  }
#define GW_TILES_OF(ROWS) GW_TILE_OF(ROWS, 1) GW_TILE_OF(ROWS, 2)
GW_TILES_OF(1)
GW_TILES_OF(2)
GW_TILES_OF(3)
GW_TILES_OF(4)
GW_TILES_OF(5)
GW_TILES_OF(6)
#if defined(GW_WIDEST)
GW_TILES_OF(7)
GW_TILES_OF(8)
GW_TILES_OF(9)
GW_TILES_OF(10)
GW_TILES_OF(11)
GW_TILES_OF(12)
#endif

typedef void (*GwTileProduct)(int64_t, const float*, int64_t, int64_t, const float*, int64_t, float*,
                       int64_t, const GwEnd*);
/* By the vectors of a panel, less one, and by rows. */
static const GwTileProduct gw_tiles[2][GW_TILE_ROWS + 1] = {
    {
        0,           gw_tile_1_1, gw_tile_2_1,  gw_tile_3_1,  gw_tile_4_1, gw_tile_5_1, gw_tile_6_1,
#if defined(GW_WIDEST)
        gw_tile_7_1, gw_tile_8_1, gw_tile_9_1, gw_tile_10_1, gw_tile_11_1, gw_tile_12_1,
#endif
    },
    {
        0,           gw_tile_1_2, gw_tile_2_2,  gw_tile_3_2,  gw_tile_4_2, gw_tile_5_2, gw_tile_6_2,
#if defined(GW_WIDEST)
        gw_tile_7_2, gw_tile_8_2, gw_tile_9_2, gw_tile_10_2, gw_tile_11_2, gw_tile_12_2,
#endif
    },
};

/* Rows of a in groups as tall as a tile, [depth][tall] each; the last as tall as what is left.
 * Several groups at once: rows that lie side by side are read by whole lines, and a vector of each
 * group is written over the end of the one before. */
static void gw_pack_rows(int64_t rows, int64_t depth, const float* a, int64_t row, int64_t step,
                         float* to) {
  int64_t i = 0, some = GW_GROUPS * GW_TILE_ROWS;
  for (; row == 1 && i + some <= rows; i += some) {
    float* at = to + i * depth;
    const float* from = a + i;
    int64_t k = 0;
    if (GW_LANES >= GW_TILE_ROWS)
      for (; k < depth - 1; k++) {
#pragma GCC unroll 6
        for (int64_t l = 0; l <= some - 16; l += 16) __builtin_prefetch(from + (k + 8) * step + l);
#pragma GCC unroll 8
        for (int64_t g = 0; g < GW_GROUPS; g++)
          gw_store(at + g * GW_TILE_ROWS * depth + k * GW_TILE_ROWS,
                   gw_load(from + g * GW_TILE_ROWS + k * step));
      }
    for (; k < depth; k++)
#pragma GCC unroll 8
      for (int64_t g = 0; g < GW_GROUPS; g++)
        memcpy(at + g * GW_TILE_ROWS * depth + k * GW_TILE_ROWS,
               from + g * GW_TILE_ROWS + k * step, sizeof(float) * GW_TILE_ROWS);
  }
  for (; i < rows; i += GW_TILE_ROWS) {
    float* at = to + i * depth;
    const float* from = a + i * row;
    int64_t tall = rows - i < GW_TILE_ROWS ? rows - i : GW_TILE_ROWS;
    if (tall == GW_TILE_ROWS && row == 1) {
      for (int64_t k = 0; k < depth; k++)
        memcpy(at + k * GW_TILE_ROWS, from + k * step, sizeof(float) * GW_TILE_ROWS);
      continue;
    }
    for (int64_t k = 0; k < depth; k++)
      for (int64_t l = 0; l < tall; l++) at[k * GW_TILE_ROWS + l] = from[l * row + k * step];
  }
}

/* c (+)= the first columns of a tile. */
static inline void gw_put_edge(int64_t rows, int64_t width, const float* edge, float* c,
                               int64_t c_row, int add) {
#if defined(GW_WIDEST)
  for (int64_t j = 0; j < width; j += GW_LANES) {
    const __mmask16 first = (__mmask16)((1u << GW_MIN(width - j, GW_LANES)) - 1);
    for (int64_t r = 0; r < rows; r++) {
      GwVector v = gw_load(edge + r * GW_TILE_WIDTH + j);
      if (add) v += _mm512_maskz_loadu_ps(first, c + r * c_row + j);
      _mm512_mask_storeu_ps(c + r * c_row + j, first, v);
    }
  }
#else
  for (int64_t r = 0; r < rows; r++)
    for (int64_t l = 0; l < width; l++)
      c[r * c_row + l] = edge[r * GW_TILE_WIDTH + l] + (add ? c[r * c_row + l] : 0);
#endif
}

/* Rows of a by one panel of `width` columns, `wide` of them stored, into c. group: from
 * GW_TILE_ROWS rows of a to the next. */
static void gw_by_panel(int64_t rows, int64_t width, int64_t wide, int64_t depth, const float* a,
                        int64_t row, int64_t step, int64_t group, const float* panel,
                        int64_t panel_row, float* c, int64_t c_row, GwEnd end) {
  static const GwEnd none = {0, 0, 0};
  float edge[GW_TILE_ROWS * GW_TILE_WIDTH] __attribute__((aligned(64)));
  const GwTileProduct* tiles = gw_tiles[wide > GW_LANES];
  for (int64_t i = 0; i < rows; i += GW_TILE_ROWS, a += group) {
    int64_t tall = rows - i < GW_TILE_ROWS ? rows - i : GW_TILE_ROWS;
    float* at = c + i * c_row;
    if (width == wide) {
      tiles[tall](depth, a, row, step, panel, panel_row, at, c_row, &end);
      continue;
    }
    tiles[tall](depth, a, row, step, panel, panel_row, edge, GW_TILE_WIDTH, &none);
    gw_put_edge(tall, width, edge, at, c_row, end.add);
    gw_end_now(tall, width, at, c_row, end);
  }
}

/* Columns of the panel that begins at j, and how many of it are stored. */
static inline int64_t gw_panel_width(int64_t columns, int64_t j) {
  return columns - j < GW_TILE_WIDTH ? columns - j : GW_TILE_WIDTH;
}

static inline int64_t gw_panel_wide(int64_t width) {
  return width <= GW_LANES ? GW_LANES : GW_TILE_WIDTH;
}

/* One block of rows and depth by all columns: a panel at a time stays in the first cache. */
static void gw_gemm_block(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t row,
                          int64_t step, int64_t group, const float* b, int64_t b_row,
                          int64_t b_step, float* c, int64_t c_row, GwEnd end) {
  float panel[GW_DEPTH * GW_TILE_WIDTH] __attribute__((aligned(64)));
  for (int64_t j = 0; j < columns; j += GW_TILE_WIDTH) {
    const int64_t width = gw_panel_width(columns, j), wide = gw_panel_wide(width);
    const float* packed = b + j;
    int64_t packed_row = b_row;
    if ((rows > GW_TILE_ROWS && !GW_IN_PLACE) || b_step != 1 || width < wide) {
      gw_pack_panel(depth, width, wide, b + j * b_step, b_row, b_step, panel);
      packed = panel, packed_row = wide;
    }
    gw_by_panel(rows, width, wide, depth, a, row, step, group, packed, packed_row, c + j, c_row,
                gw_end_from(end, j));
  }
}

/* One block of depth and columns by all rows, which are read where they lie, a band at a time: so
 * they stay in a cache even if their distance is a power of two and they meet in few of its sets.
 * panels: of all columns. */
static void gw_gemm_bands(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t row,
                          const float* b, int64_t b_row, int64_t b_step, float* c, int64_t c_row,
                          GwEnd end, float* panels) {
  for (int64_t j = 0; j < columns; j += GW_TILE_WIDTH) {
    const int64_t width = gw_panel_width(columns, j);
    gw_pack_panel(depth, width, gw_panel_wide(width), b + j * b_step, b_row, b_step,
                  panels + j * depth);
  }
  for (int64_t i = 0; i < rows; i += GW_BAND)
    for (int64_t j = 0; j < columns; j += GW_TILE_WIDTH) {
      const int64_t width = gw_panel_width(columns, j), wide = gw_panel_wide(width);
      gw_by_panel(GW_MIN(GW_BAND, rows - i), width, wide, depth, a + i * row, row, 1,
                  GW_TILE_ROWS * row, panels + j * depth, wide, c + i * c_row + j, c_row,
                  gw_end_from(end, j));
    }
}

/* The sums of the lanes of four vectors: the halves of each are added until one number is left. */
GW_INLINE void gw_lanes_sums(const GwVector* v, float* sums) {
#if defined(__AVX2__)
  __m128 q[4];
#pragma GCC unroll 4
  for (int l = 0; l < 4; l++) {
#if defined(GW_WIDEST)
    const __m256 h = _mm512_castps512_ps256(v[l]) +
                     _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v[l]), 1));
#else
    const __m256 h = v[l];
#endif
    q[l] = _mm256_castps256_ps128(h) + _mm256_extractf128_ps(h, 1);
  }
  const __m128 a = _mm_unpacklo_ps(q[0], q[1]) + _mm_unpackhi_ps(q[0], q[1]);
  const __m128 b = _mm_unpacklo_ps(q[2], q[3]) + _mm_unpackhi_ps(q[2], q[3]);
  _mm_storeu_ps(sums, _mm_movelh_ps(a, b) + _mm_movehl_ps(b, a));
#else
  for (int l = 0; l < 4; l++) {
    float lanes[GW_LANES];
    gw_store(lanes, v[l]);
    for (int h = GW_LANES / 2; h; h /= 2)
      for (int i = 0; i < h; i++) lanes[i] += lanes[i + h];
    sums[l] = lanes[0];
  }
#endif
}

/* Few rows by the rows of b, which a panel would turn for little use: dot products. c_row, c_step:
 * from one row of a, or of b, to the next. */
static void gw_dots(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row,
                    const float* b, int64_t b_step, float* c, int64_t c_row, int64_t c_step) {
  int64_t whole = depth / (2 * GW_LANES) * (2 * GW_LANES);
  for (int64_t j = 0; j < columns; j += 4) {
    int64_t width = columns - j < 4 ? columns - j : 4;
    const float* of[4];
    for (int l = 0; l < 4; l++) of[l] = b + (j + (l < width ? l : 0)) * b_step;
    for (int64_t i = 0; i < rows; i++) {
      const float* x = a + i * a_row;
      GwVector s[4][2];
#pragma GCC unroll 4
      for (int l = 0; l < 4; l++) s[l][0] = s[l][1] = gw_all(0);
      for (int64_t k = 0; k < whole; k += 2 * GW_LANES) {
        GwVector u = gw_load(x + k), v = gw_load(x + k + GW_LANES);
#pragma GCC unroll 4
        for (int l = 0; l < 4; l++) {
          s[l][0] = gw_fma(u, gw_load(of[l] + k), s[l][0]);
          s[l][1] = gw_fma(v, gw_load(of[l] + k + GW_LANES), s[l][1]);
        }
      }
      float sums[4];
      GwVector both[4];
#pragma GCC unroll 4
      for (int l = 0; l < 4; l++) both[l] = s[l][0] + s[l][1];
      gw_lanes_sums(both, sums);
      for (int l = 0; l < width; l++) {
        for (int64_t k = whole; k < depth; k++) sums[l] += x[k] * of[l][k];
        c[i * c_row + (j + l) * c_step] = sums[l];
      }
    }
  }
}

#if !defined(__AVX2__)
/* Without wide vectors BLAS, which looks for its instructions when it runs, is the faster one. */
static int gw_by_blas(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row,
                      int64_t a_step, const float* b, int64_t b_row, int64_t b_step, float* c,
                      int64_t c_row) {
  if (!gw_sgemm || (a_step != 1 && a_row != 1) || (b_step != 1 && b_row != 1)) return 0;
  int64_t a_lead = a_step == 1 ? GW_MAX(a_row, depth) : GW_MAX(a_step, rows);
  int64_t b_lead = b_step == 1 ? GW_MAX(b_row, columns) : GW_MAX(b_step, depth);
  gw_sgemm(GW_ROW_MAJOR, a_step == 1 ? GW_PLAIN : GW_TRANSPOSED,
           b_step == 1 ? GW_PLAIN : GW_TRANSPOSED, rows, columns, depth, 1, a, a_lead, b, b_lead, 0,
           c, c_row);
  return 1;
}
#endif

/* Rows of a that are whole; 0, and nothing done, where there is no memory for panels. */
static int gw_gemm_plain(int64_t rows, int64_t columns, int64_t depth, const float* a,
                          int64_t a_row, const float* b, int64_t b_row, int64_t b_step, float* c,
                          int64_t c_row, const float* bias, int relu) {
  const int64_t deepest = gw_evenly(depth, GW_DEPTH, 8);
  const int64_t broad = gw_evenly(columns, GW_BROAD, GW_TILE_WIDTH);
  float* panels = gw_workspace(sizeof(float) * (size_t)(deepest * broad));
  if (!panels) return 0;
  for (int64_t j = 0; j < columns; j += broad)
    for (int64_t k = 0; k < depth; k += deepest)
      gw_gemm_bands(rows, GW_MIN(broad, columns - j), GW_MIN(deepest, depth - k), a + k, a_row,
                    b + k * b_row + j * b_step, b_row, b_step, c + j, c_row,
                    gw_end_from(gw_end_of(k, k + deepest >= depth, bias, relu), j), panels);
  return 1;
}

/* No more columns than a tile has rows, which a panel would hardly fill: rows are columns of the
 * turned product, whose tiles they fill, a band at a time. */
static void gw_gemm_narrow(int64_t rows, int64_t columns, int64_t depth, const float* a,
                           int64_t a_row, int64_t a_step, const float* b, int64_t b_row,
                           int64_t b_step, float* c, int64_t c_row) {
  float turned[GW_TILE_ROWS * GW_STRIP] __attribute__((aligned(64)));
  const int64_t deepest = gw_evenly(depth, GW_DEPTH, 8);
  for (int64_t i = 0; i < rows; i += GW_STRIP, a += GW_STRIP * a_row, c += GW_STRIP * c_row) {
    const int64_t some = GW_MIN(GW_STRIP, rows - i);
    for (int64_t k = 0; k < depth; k += deepest)
      gw_gemm_block(columns, some, GW_MIN(deepest, depth - k), b + k * b_row, b_step, b_row,
                    GW_TILE_ROWS * b_step, a + k * a_step, a_step, a_row, turned, GW_STRIP,
                    gw_end_of(k, 0, 0, 0));
    gw_turn_whole(some, columns, turned, GW_STRIP, c, c_row);
  }
}

/* The product without an end, where it is of few rows or columns; else 0. */
static int gw_gemm_few(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row,
                       int64_t a_step, const float* b, int64_t b_row, int64_t b_step, float* c,
                       int64_t c_row) {
#if !defined(__AVX2__)
  if (gw_by_blas(rows, columns, depth, a, a_row, a_step, b, b_row, b_step, c, c_row)) return 1;
#endif
  const int plain = a_step == 1 && b_row == 1;
  const int turned = GW_IN_PLACE && a_row == 1 && b_step == 1;
  if (plain && rows <= GW_FEW)
    gw_dots(rows, columns, depth, a, a_row, b, b_step, c, c_row, 1);
  else if (plain && columns <= GW_FEW && depth >= 2 * GW_LANES)
    gw_dots(columns, rows, depth, b, b_step, a, a_row, c, 1, c_row);
  else if ((plain || turned) && columns <= GW_TILE_ROWS && rows > GW_TILE_ROWS &&
           depth >= 2 * GW_LANES)
    gw_gemm_narrow(rows, columns, depth, a, a_row, a_step, b, b_row, b_step, c, c_row);
  else
    return 0;
  return 1;
}

/* c[i][j] = sum over k of a[i * a_row + k * a_step] b[k * b_row + j * b_step]. How an element is
 * added up depends on the shape alone: packing changes no bit. */
void gw_gemm(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row,
             int64_t a_step, const float* b, int64_t b_row, int64_t b_step, float* c,
             int64_t c_row, const float* bias, int relu) {
  if (gw_gemm_few(rows, columns, depth, a, a_row, a_step, b, b_row, b_step, c, c_row)) {
    gw_end_now(rows, columns, c, c_row, gw_end_of(0, 1, bias, relu));
    return;
  }
  const int64_t deepest = gw_evenly(depth, GW_DEPTH, 8);
  if (a_step == 1 && rows > GW_TILE_ROWS &&
      gw_gemm_plain(rows, columns, depth, a, a_row, b, b_row, b_step, c, c_row, bias, relu))
    return;
  int64_t tallest =
      gw_evenly(rows, GW_HEIGHT * (int64_t)GW_DEPTH / GW_MAX(deepest, 64), GW_TILE_ROWS);
  float* packed = 0;
  if (a_step != 1 && (GW_IN_PLACE ? a_row != 1 : columns >= GW_PACKED))
    packed = gw_workspace(sizeof(float) * (size_t)(tallest * (deepest + 16)));
  if (GW_IN_PLACE && !packed && a_step != 1 && a_row != 1) tallest = 1; /* no next row is read */
  for (int64_t i = 0; i < rows; i += tallest) {
    int64_t tall = rows - i < tallest ? rows - i : tallest;
    for (int64_t k = 0; k < depth; k += deepest) {
      int64_t deep = depth - k < deepest ? depth - k : deepest;
      const float* from = a + i * a_row + k * a_step;
      int64_t row = a_row, step = a_step, group = GW_TILE_ROWS * a_row;
      if (packed) {
        gw_pack_rows(tall, deep, from, a_row, a_step, packed);
        from = packed, row = 1, step = GW_TILE_ROWS, group = GW_TILE_ROWS * deep;
      }
      gw_gemm_block(tall, columns, deep, from, row, step, group, b + k * b_row, b_row, b_step,
                    c + i * c_row, c_row, gw_end_of(k, k + deepest >= depth, bias, relu));
    }
  }
}

void gw_gemm_sparse(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row,
                    int64_t a_step, const float* b, int64_t b_row, int64_t b_step, float* c,
                    int64_t c_row, const float* bias, int relu, int sides) {
  const int64_t deepest = gw_evenly(depth, GW_DEPTH, 8), main = gw_sparse_columns(columns);
  if (!gw_sparse(rows, main, depth, deepest, a, a_row, a_step, b, b_row, b_step, c, c_row, bias,
                 relu, sides))
    gw_gemm(rows, columns, depth, a, a_row, a_step, b, b_row, b_step, c, c_row, bias, relu);
  else if (main < columns)
    gw_gemm(rows, columns - main, depth, a, a_row, a_step, b + main * b_step, b_row, b_step,
            c + main, c_row, bias ? bias + main : 0, relu);
}

#ifdef GW_CHOOSES
int gw_gemm_chosen(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row,
                   int64_t a_step, const float* b, int64_t b_row, int64_t b_step, float* c,
                   int64_t c_row, const float* wanted, int64_t wanted_row, int sides) {
  if (gw_chosen(rows, columns, depth, a, a_row, a_step, b, b_row, b_step, c, c_row, wanted,
                wanted_row, sides))
    return 1;
  gw_gemm_sparse(rows, columns, depth, a, a_row, a_step, b, b_row, b_step, c, c_row, 0, 0, sides);
  return 0;
}
#endif
#endif
#endif

/* Convolution with 3 x 3 taps and stride 1 by Winograd's F(4 x 4, 3 x 3): a tile of 4 x 4 results
 * is made of 36 products for each channel instead of 144. Lavin and Gray 2016, points 0, 1, -1, 2,
 * -2 and infinity. Tiles of all images follow each other, a panel of them is worked on at a time. */
#ifndef GW_WINOGRAD_H
#define GW_WINOGRAD_H
#include "conv.h"

enum { GW_POINTS = 36, GW_BLOCK_ROWS = 32, GW_DEEP = 96 };

GW_SHARED void gw_winograd_weights(const float* weight, int64_t rows, int64_t channels, int64_t row,
                                   int64_t channel, const int32_t* tap, float* out, int64_t from,
                                   int64_t to);
GW_SHARED void gw_winograd_windows(const GwWindows* w, const float* x, int64_t channels,
                                   int64_t first, int64_t count, int64_t wide, int64_t pitch,
                                   float* out);
GW_SHARED void gw_winograd(const GwWindows* w, const GwTarget* g, const float* x,
                           const float* packed, int64_t pitch, const GwAfter* after, float* y,
                           int64_t channels, int64_t rows, int64_t first, int64_t count,
                           float* work);
GW_SHARED void gw_winograd_few(const GwWindows* w, const GwTarget* g, const float* x,
                               const float* weight, int64_t row, int64_t channel,
                               const int32_t* tap, const GwAfter* after, float* y,
                               int64_t channels, int64_t rows, int64_t count, float* work);
GW_SHARED void gw_winograd_flows(const GwWindows* w, const float* g, int64_t image, int64_t rows,
                                 int64_t lanes, int64_t across, int64_t first, int64_t count,
                                 int64_t pitch, float* out);
GW_SHARED void gw_winograd_outer(int64_t channels, int64_t lanes, int64_t panels,
                                 const float* windows, const float* flows, float* out);
GW_SHARED void gw_winograd_gradient(const float* points, int64_t pitch, int64_t rows, int64_t lanes,
                                    int64_t channels, int64_t from, int64_t to, float* out);

#ifdef GW_LIBRARY
#include "turns.h"

/* Every one takes numbers `step` apart to numbers `to_step` apart, for 16 lanes at once. */
#define GW_EACH(TEXT) GW_IVDEP for (int l = 0; l < 16; l++) { TEXT }

/* B^T d, for the six numbers of a line. */
GW_INLINE void gw_to_points(const float* restrict d, int step, float* restrict v, int to) {
  GW_EACH(float d0 = d[l]; float d1 = d[step + l]; float d2 = d[2 * step + l];
          float d3 = d[3 * step + l]; float d4 = d[4 * step + l]; float d5 = d[5 * step + l];
          float a = fmaf(-4.0f, d2, d4); float b = fmaf(-4.0f, d1, d3);
          float c = d4 - d2; float e = 2.0f * (d3 - d1);
          v[l] = fmaf(4.0f, d0, fmaf(-5.0f, d2, d4)); v[to + l] = a + b; v[2 * to + l] = a - b;
          v[3 * to + l] = c + e; v[4 * to + l] = c - e;
          v[5 * to + l] = fmaf(4.0f, d1, fmaf(-5.0f, d3, d5));)
}

/* A^T m: four results of six points. */
GW_INLINE void gw_from_points(const float* restrict m, int step, float* restrict y, int to) {
  GW_EACH(float m0 = m[l]; float m1 = m[step + l]; float m2 = m[2 * step + l];
          float m3 = m[3 * step + l]; float m4 = m[4 * step + l]; float m5 = m[5 * step + l];
          float a = m1 + m2; float b = m1 - m2; float c = m3 + m4; float e = m3 - m4;
          y[l] = m0 + a + c; y[to + l] = fmaf(2.0f, e, b); y[2 * to + l] = fmaf(4.0f, c, a);
          y[3 * to + l] = fmaf(8.0f, e, b) + m5;)
}

/* G g: six points of three weights. */
GW_INLINE void gw_weight_points(const float* restrict g, int step, float* restrict u, int to) {
  GW_EACH(float g0 = g[l]; float g1 = g[step + l]; float g2 = g[2 * step + l];
          float a = (g0 + g2) * (1.0f / 6.0f); float b = g1 * (1.0f / 6.0f);
          float c = fmaf(g0, 1.0f / 24.0f, g2 * (1.0f / 6.0f)); float d = g1 * (1.0f / 12.0f);
          u[l] = 0.25f * g0; u[to + l] = -a - b; u[2 * to + l] = b - a; u[3 * to + l] = c + d;
          u[4 * to + l] = c - d; u[5 * to + l] = g2;)
}

/* The nine weights of `high` rows, `row` apart: weight k of row i to d[place[k] + i]. */
static void gw_winograd_nine(const float* weight, int64_t high, int64_t row, const int* place,
                             float* d) {
#if defined(__AVX2__)
  if (high == GW_HIGH) {
    __m256 v[8];
    for (int i = 0; i < 8; i++) v[i] = _mm256_loadu_ps(weight + i * row);
    gw_turn_eight(v);
    for (int k = 0; k < 8; k++) _mm256_storeu_ps(d + place[k], v[k]);
    for (int i = 0; i < 8; i++) d[place[8] + i] = weight[i * row + 8];
    return;
  }
#endif
  for (int64_t i = 0; i < high; i++)
    for (int k = 0; k < 9; k++) d[place[k] + i] = weight[i * row + k];
}

/* out[point][group][channel][row]; see gw_pack_weights. Lanes are the rows of two channels. */
void gw_winograd_weights(const float* weight, int64_t rows, int64_t channels, int64_t row,
                         int64_t channel, const int32_t* tap, float* out, int64_t from,
                         int64_t to) {
  int64_t groups = (rows + GW_HIGH - 1) / GW_HIGH, pitch = groups * channels * GW_HIGH;
  float d[9 * 16] __attribute__((aligned(64))), line[18 * 16] __attribute__((aligned(64)));
  float u[GW_POINTS * 16] __attribute__((aligned(64)));
  int place[9];
  for (int k = 0; k < 9; k++) place[tap[k]] = k * 16;
  memset(d, 0, sizeof d);
  for (int64_t g = from; g < to; g++) {
    int64_t high = GW_MIN(GW_HIGH, rows - g * GW_HIGH);
    if (high < GW_HIGH) memset(d, 0, sizeof d);
    for (int64_t c = 0; c < channels; c += 2) {
      int64_t deep = GW_MIN(2, channels - c);
      for (int64_t b = 0; b < deep; b++)
        gw_winograd_nine(weight + g * GW_HIGH * row + (c + b) * channel, high, row, place,
                         d + b * GW_HIGH);
      for (int k = 0; k < 3; k++) gw_weight_points(d + k * 16, 48, line + k * 16, 48);
      for (int k = 0; k < 6; k++) gw_weight_points(line + k * 48, 16, u + k * 96, 16);
      float* at = out + (g * channels + c) * GW_HIGH;
      for (int k = 0; k < GW_POINTS; k++)
        memcpy(at + k * pitch, u + k * 16, (size_t)(deep * GW_HIGH) * sizeof(float));
    }
  }
}

typedef struct {
  int64_t n, y, x; /* of the first result of a tile */
} GwTile;

GW_INLINE GwTile gw_winograd_tile(const int64_t* grid, int64_t tile) {
  int64_t wide = (grid[2] + 3) / 4, each = wide * ((grid[1] + 3) / 4);
  GwTile t = {tile / each, tile % each / wide * 4, tile % wide * 4};
  return t;
}

#if defined(__AVX2__)
/* What a tile sees: where its first row starts, which numbers and which rows lie in the image. */
typedef struct {
  __m256i kept;
  int64_t at;
  uint32_t rows;
} GwSight;

static GwSight gw_winograd_sight(const GwWindows* w, const GwTile* tile) {
  const int64_t top = tile->y + w->offset[0][1], left = tile->x + w->offset[0][2];
  GwSight s = {gw_lanes_between(GW_MAX(-left, 0), GW_MIN(w->size[2] - left, 6)),
               tile->n * w->image + top * w->size[2] + left, 0};
  for (int r = 0; r < 6; r++) s.rows |= (uint32_t)(top + r >= 0 && top + r < w->size[1]) << r;
  return s;
}

/* d[36][16] of one channel for up to 16 tiles, zeros for the lanes after them. */
static void gw_winograd_gather(const GwWindows* w, const float* x, const GwSight* tiles,
                               int64_t count, float* d) {
  const __m256i none = _mm256_setzero_si256();
  for (int64_t l = 0; l < 16; l += 8)
    for (int r = 0; r < 6; r++) {
      __m256 v[8];
      for (int i = 0; i < 8; i++) {
        const GwSight* s = tiles + GW_MIN(l + i, count - 1);
        const int whole = l + i < count && (s->rows >> r & 1);
        v[i] = _mm256_maskload_ps(x + s->at + r * w->size[2], whole ? s->kept : none);
      }
      gw_turn_six(v, d + r * 96 + l, 16);
    }
}
#else
typedef GwTile GwSight;

static GwSight gw_winograd_sight(const GwWindows* w, const GwTile* tile) {
  (void)w;
  return *tile;
}

/* d[36][16] of one channel for up to 16 tiles, zeros for the lanes after them. */
static void gw_winograd_gather(const GwWindows* w, const float* x, const GwSight* tiles,
                               int64_t count, float* d) {
  const int32_t* start = w->offset[0];
  if (count < 16) memset(d, 0, GW_POINTS * 16 * sizeof(float));
  for (int64_t l = 0; l < count; l++) {
    int64_t top = tiles[l].y + start[1], left = tiles[l].x + start[2];
    const float* image = x + tiles[l].n * w->image;
    if (top >= 0 && left >= 0 && top + 6 <= w->size[1] && left + 6 <= w->size[2]) {
      const float* from = image + top * w->size[2] + left;
      for (int r = 0; r < 6; r++)
        for (int e = 0; e < 6; e++) d[(r * 6 + e) * 16 + l] = from[r * w->size[2] + e];
    } else {
      for (int r = 0; r < 6; r++)
        for (int e = 0; e < 6; e++) {
          int64_t v = top + r, u = left + e;
          int inside = v >= 0 && v < w->size[1] && u >= 0 && u < w->size[2];
          d[(r * 6 + e) * 16 + l] = inside ? image[v * w->size[2] + u] : 0;
        }
    }
  }
}
#endif

/* GW_HIGH rows of c = packed weights times `vectors` * 16 columns of a panel. */
static void gw_narrow_product(int64_t depth, const float* a, const float* b, float* c, int vectors) {
  for (int64_t k = 0; k < depth; k += GW_DEEP, a += GW_DEEP * GW_HIGH, b += GW_DEEP * GW_SHEET) {
    int64_t some = GW_MIN(GW_DEEP, depth - k);
#if defined(GW_WIDEST)
    if (vectors == 1)
      gw_tile_of(8, 1, some, a, 1, GW_HIGH, b, GW_SHEET, c, GW_SHEET, k > 0);
    else if (vectors == 2)
      gw_tile_of(8, 2, some, a, 1, GW_HIGH, b, GW_SHEET, c, GW_SHEET, k > 0);
    else
#else
    if (vectors < 3)
      for (int j = 0; j < 16 * vectors; j += 2 * GW_LANES)
        for (int i = 0; i < GW_HIGH; i += 4)
          gw_tile_of(4, 2, some, a + i, 1, GW_HIGH, b + j, GW_SHEET, c + i * GW_SHEET + j, GW_SHEET,
                     k > 0);
    else
#endif
      gw_panel_product(some, a, b, c, GW_SHEET, k > 0);
  }
}

static void gw_winograd_put(const GwWindows* w, const GwTarget* g, const GwTile* tiles,
                            int64_t count, const float* m, int64_t point, const GwAfter* after,
                            int64_t row, float* y) {
  const float scale = after->scale ? after->scale[row] : 1;
  const float shift = after->shift ? after->shift[row] : 0, low = after->low;
  float line[24 * 16] __attribute__((aligned(64))), s[16 * 16] __attribute__((aligned(64)));
  for (int k = 0; k < 6; k++) gw_from_points(m + k * point, (int)(6 * point), line + k * 16, 96);
  for (int k = 0; k < 4; k++) gw_from_points(line + k * 96, 16, s + k * 64, 16);
#if defined(__AVX2__)
  for (int64_t l = 0; l < count; l += 8)
    for (int64_t r = 0; r < 4; r++) {
      __m256 v[4];
      for (int e = 0; e < 4; e++)
        v[e] = _mm256_loadu_ps(s + (r * 4 + e) * 16 + l) * _mm256_set1_ps(scale)
               + _mm256_set1_ps(shift);
      gw_turn_four(v);
      for (int64_t i = 0; i < GW_MIN(8, count - l); i++) {
        const GwTile* t = tiles + l + i;
        if (t->y + r >= w->grid[1]) continue;
        const int64_t at = row * g->plane + t->n * g->image + (t->y + r) * g->size[2] + t->x;
        const __m256 whole = v[i & 3];
        __m128 half = i < 4 ? _mm256_castps256_ps128(whole) : _mm256_extractf128_ps(whole, 1);
        if (t->x + 4 <= w->grid[2]) {
          if (after->more) half = half + _mm_loadu_ps(after->more + at);
          _mm_storeu_ps(y + at, _mm_max_ps(_mm_set1_ps(low), half)); /* not a number stays so */
        } else {
          for (int64_t e = 0; e < w->grid[2] - t->x; e++) {
            const float one = after->more ? half[e] + after->more[at + e] : half[e];
            y[at + e] = one < low ? low : one;
          }
        }
      }
    }
#else
  for (int64_t l = 0; l < count; l++) {
    int64_t from = row * g->plane + tiles[l].n * g->image + tiles[l].y * g->size[2] + tiles[l].x;
    int64_t high = GW_MIN(4, w->grid[1] - tiles[l].y), wide = GW_MIN(4, w->grid[2] - tiles[l].x);
    for (int64_t r = 0; r < high; r++)
      for (int64_t e = 0; e < wide; e++) {
        const int64_t at = from + r * g->size[2] + e;
        const float sum = s[(r * 4 + e) * 16 + l] * scale + shift;
        const float one = after->more ? sum + after->more[at] : sum;
        y[at] = one < low ? low : one;
      }
  }
#endif
}

/* The windows of a panel of tiles at their points: out[point][channel][GW_SHEET], points `pitch`
 * apart, tiles first..first + count, zeros after them up to `wide`. */
void gw_winograd_windows(const GwWindows* w, const float* x, int64_t channels, int64_t first,
                         int64_t count, int64_t wide, int64_t pitch, float* out) {
  float d[GW_POINTS * 16] __attribute__((aligned(64)));
  float line[GW_POINTS * 16] __attribute__((aligned(64)));
  GwSight tiles[GW_SHEET];
  for (int64_t l = 0; l < count; l++) {
    const GwTile tile = gw_winograd_tile(w->grid, first + l);
    tiles[l] = gw_winograd_sight(w, &tile);
  }
  for (int64_t c = 0; c < channels; c++)
    for (int64_t j = 0; j < wide; j += 16) {
      const int64_t some = GW_MIN(16, count - j);
      if (some > 0) gw_winograd_gather(w, x + c * w->plane, tiles + j, some, d);
      else memset(d, 0, sizeof d);
      for (int k = 0; k < 6; k++) gw_to_points(d + k * 16, 96, line + k * 16, 96);
      for (int k = 0; k < 6; k++)
        gw_to_points(line + k * 96, 16, out + 6 * k * pitch + c * GW_SHEET + j, (int)pitch);
    }
}

/* Products of all points with `high` rows of packed weights, and the results of a panel of tiles. */
static void gw_winograd_rows(const GwWindows* w, const GwTarget* g, const float* packed,
                             int64_t pitch, const GwAfter* after, float* y, int64_t channels,
                             int64_t high, int64_t first, int64_t count, float* work) {
  int64_t point = channels * GW_SHEET, made = GW_BLOCK_ROWS * GW_SHEET;
  int64_t vectors = (count + 15) / 16;
  float* products = work + GW_POINTS * point;
  GwTile tiles[GW_SHEET];
  for (int64_t l = 0; l < count; l++) tiles[l] = gw_winograd_tile(w->grid, first + l);
  for (int64_t k = 0; k < GW_POINTS; k++)
    for (int64_t r = 0; r < high; r += GW_HIGH)
      gw_narrow_product(channels, packed + k * pitch + r * channels, work + k * point,
                        products + k * made + r * GW_SHEET, (int)vectors);
  for (int64_t r = 0; r < high; r++)
    for (int64_t j = 0; j < vectors; j++)
      gw_winograd_put(w, g, tiles + 16 * j, GW_MIN(16, count - 16 * j),
                      products + r * GW_SHEET + 16 * j, made, after, r, y);
}

/* Tiles first..first + count for `rows` channels of y; packed starts at the first of them.
 * pitch: numbers of a point of the packed weights.
 * work: memory for GW_POINTS * GW_SHEET * (channels + GW_BLOCK_ROWS). */
void gw_winograd(const GwWindows* w, const GwTarget* g, const float* x, const float* packed,
                 int64_t pitch, const GwAfter* after, float* y, int64_t channels, int64_t rows,
                 int64_t first, int64_t count, float* work) {
  for (int64_t at = first; at < first + count; at += GW_SHEET) {
    int64_t some = GW_MIN(GW_SHEET, first + count - at);
    gw_winograd_windows(w, x, channels, at, some, some, channels * GW_SHEET, work);
    for (int64_t i = 0; i < rows; i += GW_BLOCK_ROWS) {
      const GwAfter rest = gw_after_rows(after, i, i * g->plane);
      gw_winograd_rows(w, g, packed + i * channels, pitch, &rest, y + i * g->plane, channels,
                       GW_MIN(GW_BLOCK_ROWS, rows - i), at, some, work);
    }
  }
}

/* The same for at most GW_SHEET tiles in all. Every weight is used once, so it is never stored at
 * its points: they are made for a few rows at a time, in memory that comes after the rest of
 * `work`, GW_POINTS * GW_HIGH * channels more. */
void gw_winograd_few(const GwWindows* w, const GwTarget* g, const float* x,
                     const float* weight, int64_t row, int64_t channel, const int32_t* tap,
                     const GwAfter* after, float* y, int64_t channels, int64_t rows,
                     int64_t count, float* work) {
  float* packed = work + GW_POINTS * GW_SHEET * (channels + GW_BLOCK_ROWS);
  gw_winograd_windows(w, x, channels, 0, count, count, channels * GW_SHEET, work);
  for (int64_t i = 0; i < rows; i += GW_HIGH) {
    int64_t high = GW_MIN(GW_HIGH, rows - i);
    gw_winograd_weights(weight + i * row, high, channels, row, channel, tap, packed, 0, 1);
    const GwAfter rest = gw_after_rows(after, i, i * g->plane);
    gw_winograd_rows(w, g, packed, channels * GW_HIGH, &rest, y + i * g->plane, channels, high, 0,
                     count, work);
  }
}

/* A g: six points of four numbers, the transpose of gw_from_points. */
GW_INLINE void gw_spread_points(const float* restrict g, int step, float* restrict v, int to) {
  GW_EACH(float g0 = g[l]; float g1 = g[step + l]; float g2 = g[2 * step + l];
          float g3 = g[3 * step + l];
          float a = g0 + g2; float b = g1 + g3;
          float c = fmaf(4.0f, g2, g0); float e = fmaf(8.0f, g3, 2.0f * g1);
          v[l] = g0; v[to + l] = a + b; v[2 * to + l] = a - b; v[3 * to + l] = c + e;
          v[4 * to + l] = c - e; v[5 * to + l] = g3;)
}

/* d[16][16] of one tile of up to 16 channels of g, zeros beyond them and beyond the image. */
static void gw_winograd_flow(const float* g, const GwWindows* w, int64_t some, int64_t high,
                             int64_t wide, float* d) {
#if defined(__AVX2__)
  const __m128i kept = _mm256_castsi256_si128(gw_lanes_between(0, wide));
  const __m128i none = _mm_setzero_si128();
  for (int64_t l = 0; l < 16; l += 8)
    for (int64_t r = 0; r < 4; r++) {
      __m256 v[4];
      for (int64_t i = 0; i < 4; i++) {
        const float* from = g + (l + i) * w->places + r * w->grid[2];
        const __m128 a = _mm_maskload_ps(from, r < high && l + i < some ? kept : none);
        const __m128 b = _mm_maskload_ps(from + 4 * w->places,
                                         r < high && l + i + 4 < some ? kept : none);
        v[i] = _mm256_set_m128(b, a);
      }
      gw_turn_four(v);
      for (int e = 0; e < 4; e++) _mm256_storeu_ps(d + (r * 4 + e) * 16 + l, v[e]);
    }
#else
  if (some < 16 || high < 4 || wide < 4) memset(d, 0, 256 * sizeof(float));
  for (int64_t l = 0; l < some; l++) {
    const float* from = g + l * w->places;
    if (high == 4 && wide == 4) {
      for (int r = 0; r < 4; r++)
        for (int e = 0; e < 4; e++) d[(r * 4 + e) * 16 + l] = from[r * w->grid[2] + e];
    } else {
      for (int64_t r = 0; r < high; r++)
        for (int64_t e = 0; e < wide; e++) d[(r * 4 + e) * 16 + l] = from[r * w->grid[2] + e];
    }
  }
#endif
}

/* The gradient of a panel of tiles at their points: out[point][tile][lanes], points `pitch` apart;
 * a lane for each of `rows` channels of g, zeros in the others and after the last tile. Tiles are
 * `across` apart. */
void gw_winograd_flows(const GwWindows* w, const float* g, int64_t image, int64_t rows,
                       int64_t lanes, int64_t across, int64_t first, int64_t count,
                       int64_t pitch, float* out) {
  float d[16 * 16] __attribute__((aligned(64))), line[24 * 16] __attribute__((aligned(64)));
  for (int64_t t = 0; t < GW_SHEET; t++) {
    GwTile tile = gw_winograd_tile(w->grid, first + GW_MIN(t, count - 1));
    const float* at = g + tile.n * image + tile.y * w->grid[2] + tile.x;
    int64_t high = GW_MIN(4, w->grid[1] - tile.y), wide = GW_MIN(4, w->grid[2] - tile.x);
    for (int64_t i = 0; i < lanes; i += 16) {
      int64_t some = t < count ? GW_MIN(16, rows - i) : 0;
      gw_winograd_flow(at + i * w->places, w, some, high, wide, d);
      for (int k = 0; k < 4; k++) gw_spread_points(d + k * 16, 64, line + k * 16, 64);
      for (int k = 0; k < 6; k++)
        gw_spread_points(line + k * 64, 16, out + 6 * k * pitch + t * across + i, (int)pitch);
    }
  }
}

/* Of one point: out[channels][lanes] = sum over panels of windows times gradients. out has room for
 * gw_outer_rows(channels, lanes) rows; so much is read of the last panel of windows, too. */
void gw_winograd_outer(int64_t channels, int64_t lanes, int64_t panels, const float* windows,
                       const float* flows, float* out) {
  int64_t rows = gw_outer_rows(channels, lanes);
  memset(out, 0, (size_t)(rows * lanes) * sizeof(float));
  for (int64_t i = 0; i < panels; i++)
    gw_outer(rows, lanes, GW_SHEET, windows + i * channels * GW_SHEET, GW_SHEET,
             flows + i * lanes * GW_SHEET, out);
}

/* G^T u: three weights of six points. */
GW_INLINE void gw_weights_of_points(const float* restrict u, int step, float* restrict w, int to) {
  GW_EACH(float u0 = u[l]; float u1 = u[step + l]; float u2 = u[2 * step + l];
          float u3 = u[3 * step + l]; float u4 = u[4 * step + l]; float u5 = u[5 * step + l];
          float a = u1 + u2; float b = u2 - u1; float c = u3 + u4; float e = u3 - u4;
          w[l] = fmaf(0.25f, u0, fmaf(a, -1.0f / 6.0f, c * (1.0f / 24.0f)));
          w[to + l] = fmaf(b, 1.0f / 6.0f, e * (1.0f / 12.0f));
          w[2 * to + l] = fmaf(c - a, 1.0f / 6.0f, u5);)
}

/* out[row][channel][9] of points [36][channel][lanes], `pitch` apart; channels from..to. */
void gw_winograd_gradient(const float* points, int64_t pitch, int64_t rows, int64_t lanes,
                          int64_t channels, int64_t from, int64_t to, float* out) {
  float line[18 * 16] __attribute__((aligned(64))), s[9 * 16] __attribute__((aligned(64)));
  for (int64_t i = 0; i < lanes; i += 16)
    for (int64_t c = from; c < to; c++) {
      const float* at = points + c * lanes + i;
      for (int k = 0; k < 6; k++)
        gw_weights_of_points(at + k * pitch, (int)(6 * pitch), line + k * 16, 96);
      for (int k = 0; k < 3; k++) gw_weights_of_points(line + k * 96, 16, s + k * 48, 16);
      for (int64_t l = 0; l < GW_MIN(16, rows - i); l++)
        for (int k = 0; k < 9; k++) out[((i + l) * channels + c) * 9 + k] = s[k * 16 + l];
    }
}
#endif
#endif

/* The steps of a recurrence, backwards: the flow through the gates of all rows of a part, then its
 * product with the weights of h. */
#ifndef GW_RECURRENT_BACK_H
#define GW_RECURRENT_BACK_H
#include "gates.h"
#include "recurrent.h"

#ifdef GW_LIBRARY

/* Tiles of so many rows by vectors stay in registers; a block of a panel in the first cache. */
enum { GW_BACK_ROWS = 6, GW_BACK_VECTORS = GW_LANES == 16 ? 4 : 2, GW_BACK_DEPTH = 128 };
/* Rows of the flow lie a line further apart than they are long: powers of two meet in few sets. */
enum { GW_BACK_GAP = 16 };

/* A panel: as many columns of the weights as a tile has vectors, the last one what is left. */
GW_INLINE int64_t gw_back_vectors(int64_t hidden, int64_t unit) {
  return GW_MIN(GW_BACK_VECTORS, (hidden - unit + GW_LANES - 1) / GW_LANES);
}

void gw_pack_back(int cell, int64_t hidden, const float* w_hh, int64_t part, int64_t parts,
                  float* panels) {
  const int64_t depth = GW_BLOCKS(cell) * hidden;
  const int64_t from = depth * part / parts, to = depth * (part + 1) / parts;
  for (int64_t unit = 0; unit < hidden; unit += GW_BACK_VECTORS * GW_LANES) {
    const int64_t wide = gw_back_vectors(hidden, unit) * GW_LANES;
    const int64_t width = GW_MIN(wide, hidden - unit);
    for (int64_t k = from; k < to; k++) {
      float* at = panels + unit * depth + k * wide;
      memcpy(at, w_hh + k * hidden + unit, width * sizeof(float));
      memset(at + width, 0, (wide - width) * sizeof(float));
    }
  }
}

#define GW_BACK_TILE(ROWS, NV)                                                               \
  static __attribute__((noinline)) void gw_back_##ROWS##_##NV(                               \
      int64_t depth, const float* a, int64_t row, const float* b, float* c, int64_t c_row) { \
    gw_tile_of(ROWS, NV, depth, a, row, 1, b, NV * GW_LANES, c, c_row, 1);                   \
  }
#define GW_BACK_TILES(NV)                                        \
  GW_BACK_TILE(1, NV) GW_BACK_TILE(2, NV) GW_BACK_TILE(3, NV)    \
  GW_BACK_TILE(4, NV) GW_BACK_TILE(5, NV) GW_BACK_TILE(6, NV)
#define GW_BACK_NAMES(NV)                                                                   \
  {0, gw_back_1_##NV, gw_back_2_##NV, gw_back_3_##NV, gw_back_4_##NV, gw_back_5_##NV,       \
   gw_back_6_##NV}
GW_BACK_TILES(1)
GW_BACK_TILES(2)
#if defined(GW_WIDEST)
GW_BACK_TILES(3)
GW_BACK_TILES(4)
#endif

typedef void (*GwBackTile)(int64_t, const float*, int64_t, const float*, float*, int64_t);
/* By the vectors of a panel, less one, and by rows. */
static const GwBackTile gw_back_tiles[GW_BACK_VECTORS][GW_BACK_ROWS + 1] = {
    GW_BACK_NAMES(1), GW_BACK_NAMES(2),
#if defined(GW_WIDEST)
    GW_BACK_NAMES(3), GW_BACK_NAMES(4),
#endif
};

/* Fetch into the second cache what step t reads of row b first. */
GW_INLINE void gw_back_ahead(const int CELL, const GwRecurrenceBack* r, int64_t t, int64_t b) {
  const int64_t n = r->hidden, line = b * r->steps + t, kept = GW_KEPT(CELL) * n;
  const int64_t past = r->reverse ? GW_MIN(t + 1, r->steps - 1) : GW_MAX(t - 1, 0);
  for (int64_t j = 0; j < kept; j += 16) __builtin_prefetch(r->kept + line * kept + j, 0, 2);
  for (int64_t j = 0; j < n; j += 16) {
    __builtin_prefetch(r->g_y + line * n + j, 0, 2);
    if (CELL == GW_GRU) __builtin_prefetch(r->before + line * n + j, 0, 2);
    if (CELL == GW_LSTM) __builtin_prefetch(r->cells + (b * r->steps + past) * n + j, 0, 2);
  }
}

/* d_h += d times the weights, for all rows. Meanwhile what step `next` reads is fetched. */
GW_INLINE void gw_back_product(const int CELL, const GwRecurrenceBack* r, int64_t next,
                               const float* d, float* d_h, int64_t wide) {
  const int64_t depth = GW_BLOCKS(CELL) * r->hidden, row = depth + GW_BACK_GAP;
  const int64_t tiles = (r->rows + GW_BACK_ROWS - 1) / GW_BACK_ROWS;
  int64_t fetched = next < 0 || next >= r->steps ? r->rows : 0;
  for (int64_t unit = 0; unit < r->hidden; unit += GW_BACK_VECTORS * GW_LANES) {
    const int64_t vectors = gw_back_vectors(r->hidden, unit);
    for (int64_t k = 0; k < depth; k += GW_BACK_DEPTH)
      for (int64_t part = 0; part < tiles; part++) {
        const int64_t b = r->rows * part / tiles, count = r->rows * (part + 1) / tiles - b;
        if (fetched < r->rows) gw_back_ahead(CELL, r, next, fetched++);
        gw_back_tiles[vectors - 1][count](GW_MIN(GW_BACK_DEPTH, depth - k), d + b * row + k, row,
                                          r->panels + unit * depth + k * vectors * GW_LANES,
                                          d_h + b * wide + unit, wide);
      }
  }
}

/* The flow of one row through the gates of step t; d: that into h times the weights; sum: that of
 * all rows so far. */
GW_INLINE void gw_back_row(const int CELL, const GwRecurrenceBack* r, int64_t b, int64_t t,
                           float* d_h, float* d_c, float* d, float* sum) {
  const int64_t n = r->hidden, line = b * r->steps + t;
  const float *kept = r->kept + line * GW_KEPT(CELL) * n, *g_y = r->g_y + line * n;
  float* flow = r->flow + line * GW_KEPT(CELL) * n;
  const int64_t past = r->reverse ? t + 1 : t - 1;
  const float* cell = CELL == GW_LSTM ? r->cells + line * n : 0;
  const float* before = CELL == GW_GRU ? r->before + line * n : 0;
  if (CELL == GW_LSTM)
    before = past < 0 || past >= r->steps ? r->c0 + b * n : r->cells + (b * r->steps + past) * n;
  GW_IVDEP
  for (int64_t j = 0; j < n; j++) {
    float in = d_h[j] + g_y[j];
    if (CELL == GW_LSTM) {
      float i = kept[j], f = kept[n + j], g = kept[2 * n + j], o = kept[3 * n + j];
      float s = gw_gate_tanh(cell[j]), into = d_c[j] + in * o * (1 - s * s);
      float d_i = into * g * i * (1 - i), d_f = into * before[j] * f * (1 - f);
      float d_g = into * i * (1 - g * g), d_o = in * s * o * (1 - o);
      d[j] = flow[j] = d_i, d[n + j] = flow[n + j] = d_f;
      d[2 * n + j] = flow[2 * n + j] = d_g, d[3 * n + j] = flow[3 * n + j] = d_o;
      sum[j] += d_i, sum[n + j] += d_f, sum[2 * n + j] += d_g, sum[3 * n + j] += d_o;
      d_c[j] = into * f;
      d_h[j] = 0;
    } else if (CELL == GW_GRU) {
      float q = kept[j], z = kept[n + j], v = kept[2 * n + j], m = kept[3 * n + j];
      float into = in * (1 - z) * (1 - v * v), d_q = into * m * q * (1 - q);
      float d_z = in * (before[j] - v) * z * (1 - z), d_m = into * q;
      d[j] = flow[j] = d_q, d[n + j] = flow[n + j] = d_z;
      d[2 * n + j] = flow[3 * n + j] = d_m, flow[2 * n + j] = into;
      sum[j] += d_q, sum[n + j] += d_z, sum[2 * n + j] += into, sum[3 * n + j] += d_m;
      d_h[j] = in * z;
    } else {
      float made = CELL == GW_TANH ? in * (1 - kept[j] * kept[j]) : kept[j] > 0 ? in : 0;
      d[j] = flow[j] = made;
      sum[j] += made;
      d_h[j] = 0;
    }
  }
}

GW_INLINE void gw_backward_of(const int CELL, const GwRecurrenceBack* r) {
  const int64_t n = r->hidden, depth = GW_BLOCKS(CELL) * n, kept = GW_KEPT(CELL) * n;
  const int64_t wide = (n + GW_LANES - 1) / GW_LANES * GW_LANES;
  float *d_h = r->work, *d = d_h + r->rows * wide, *d_c = d + r->rows * (depth + GW_BACK_GAP);
  float* sum = d_c + r->rows * n;
  memset(d_h, 0, r->rows * wide * sizeof(float));
  memset(r->total, 0, kept * sizeof(double));
  for (int64_t b = 0; b < r->rows; b++) {
    memcpy(d_h + b * wide, r->g_h + b * n, n * sizeof(float));
    if (CELL == GW_LSTM) memcpy(d_c + b * n, r->g_c + b * n, n * sizeof(float));
  }
  for (int64_t i = 0; i < r->steps; i++) {
    const int64_t t = r->reverse ? i : r->steps - 1 - i;
    memset(sum, 0, kept * sizeof(float));
    for (int64_t b = 0; b < r->rows; b++) {
      float* row = d + b * (depth + GW_BACK_GAP);
      if (r->ends && t >= r->ends[b]) {
        memset(row, 0, depth * sizeof(float));
        memset(r->flow + (b * r->steps + t) * kept, 0, kept * sizeof(float));
      } else {
        gw_back_row(CELL, r, b, t, d_h + b * wide, d_c + b * n, row, sum);
      }
    }
    for (int64_t j = 0; j < kept; j++) r->total[j] += sum[j];
    gw_back_product(CELL, r, r->reverse ? t + 1 : t - 1, d, d_h, wide);
  }
  for (int64_t b = 0; b < r->rows; b++) {
    memcpy(r->d_h + b * n, d_h + b * wide, n * sizeof(float));
    if (CELL == GW_LSTM) memcpy(r->d_c + b * n, d_c + b * n, n * sizeof(float));
  }
}

void gw_recurrent_backward(int cell, const GwRecurrenceBack* r) {
  if (cell == GW_LSTM) gw_backward_of(GW_LSTM, r);
  else if (cell == GW_GRU) gw_backward_of(GW_GRU, r);
  else if (cell == GW_RELU) gw_backward_of(GW_RELU, r);
  else gw_backward_of(GW_TANH, r);
}
#endif
#endif

/* The steps of a recurrence, forwards: the products of a step with the weights of all gates, for
 * some rows and as many units as a vector holds, are followed by the gates while they are near. */
#ifndef GW_RECURRENT_STEP_H
#define GW_RECURRENT_STEP_H
#include "gates.h"
#include "recurrent.h"

#ifdef GW_LIBRARY

/* Rows of a tile, at most, by gates: what fits into registers. */
enum { GW_STEP_ROWS = 6, GW_STEP_MOST = GW_LANES == 16 ? 6 : 3 };

/* Panel p: biases of GW_LANES units, then their weights of x, then those of h, all gates of them
 * for each column side by side. Of a GRU the new gate has both biases, one for each product. */
GW_INLINE int64_t gw_panel_size(const int CELL, int64_t features, int64_t hidden) {
  return GW_LANES * (GW_KEPT(CELL) + GW_BLOCKS(CELL) * (features + hidden));
}

/* A few columns at a time: the lines of a panel that they go to stay in the first cache. */
GW_INLINE void gw_pack_gate(const int G, int64_t depth, int64_t left, const float* w, float* to) {
  for (int64_t from = 0; from < depth; from += 16)
    for (int64_t j = 0; j < GW_LANES; j++)
      for (int64_t k = from; k < GW_MIN(from + 16, depth); k++)
        to[k * G * GW_LANES + j] = j < left ? w[j * depth + k] : 0;
}

GW_INLINE void gw_pack_units(const int CELL, const GwStepWeights* w, int64_t unit, float* to) {
  const int G = GW_BLOCKS(CELL);
  const int64_t n = w->hidden, left = GW_MIN(n - unit, GW_LANES);
  for (int g = 0; g < GW_KEPT(CELL); g++)
    for (int64_t j = 0; j < GW_LANES; j++) {
      int64_t at = GW_MIN(g, G - 1) * n + unit + j;
      float sum = 0;
      if (j < left && g < G) sum += w->b_ih[at];
      if (j < left && (CELL != GW_GRU || g != 2)) sum += w->b_hh[at];
      *to++ = sum;
    }
  for (int g = 0; g < G; g++)
    gw_pack_gate(G, w->features, left, w->w_ih + (g * n + unit) * w->features,
                 to + g * GW_LANES);
  to += w->features * G * GW_LANES;
  for (int g = 0; g < G; g++)
    gw_pack_gate(G, n, left, w->w_hh + (g * n + unit) * n, to + g * GW_LANES);
}

void gw_pack_step(int cell, const GwStepWeights* w, int64_t part, int64_t parts, float* panels) {
  const int64_t count = (w->hidden + GW_LANES - 1) / GW_LANES;
#define GW_PACK(CELL)                          \
  gw_pack_units(CELL, w, p * GW_LANES,         \
                panels + p * gw_panel_size(CELL, w->features, w->hidden))
  for (int64_t p = count * part / parts; p < count * (part + 1) / parts; p++) {
    if (cell == GW_LSTM) GW_PACK(GW_LSTM);
    else if (cell == GW_GRU) GW_PACK(GW_GRU);
    else GW_PACK(GW_TANH);
  }
#undef GW_PACK
}

/* s[i][g] += sum over k of a[i * row + k] panel[k][g]; the last of G blocks goes to LAST. */
GW_INLINE void gw_step_product(const int ROWS, const int G, const int LAST, int64_t depth,
                               const float* a, int64_t row, const float* panel,
                               GwVector s[GW_STEP_ROWS][4]) {
  for (int64_t k = 0; k < depth; k++) {
    GwVector v[GW_STEP_ROWS];
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; i++) v[i] = gw_all(a[i * row + k]);
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      GwVector t = gw_load(panel + (k * G + g) * GW_LANES);
      GW_HOLD(t);
      const int to = g == G - 1 ? LAST : g;
#pragma GCC unroll 6
      for (int i = 0; i < ROWS; i++) s[i][to] = gw_fma(v[i], t, s[i][to]);
    }
  }
}

/* out[i][g]: bias, product with x and product with h of ROWS rows and a panel. */
GW_INLINE void gw_step_tile(const int CELL, const int ROWS, const GwRecurrence* r, const float* x,
                            const float* h, const float* panel, float* out) {
  const int G = GW_BLOCKS(CELL), K = GW_KEPT(CELL);
  GwVector s[GW_STEP_ROWS][4];
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
    for (int g = 0; g < K; g++) s[i][g] = gw_load(panel + g * GW_LANES);
  panel += K * GW_LANES;
  gw_step_product(ROWS, G, G - 1, r->features, x, r->steps * r->features, panel, s);
  panel += r->features * G * GW_LANES;
  gw_step_product(ROWS, G, K - 1, r->hidden, h, r->hidden, panel, s);
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
    for (int g = 0; g < K; g++) gw_store(out + (i * K + g) * GW_LANES, s[i][g]);
}

typedef void (*GwStepTile)(const GwRecurrence*, const float*, const float*, const float*, float*);
#define GW_STEP_TILE(CELL, ROWS)                                                           \
  static __attribute__((noinline)) void gw_step_##CELL##_##ROWS(                           \
      const GwRecurrence* r, const float* x, const float* h, const float* panel, float* out) { \
    gw_step_tile(CELL, ROWS, r, x, h, panel, out);                                         \
  }
#define GW_STEP_FEW(CELL) GW_STEP_TILE(CELL, 1) GW_STEP_TILE(CELL, 2) GW_STEP_TILE(CELL, 3)
#define GW_STEP_MORE(CELL) GW_STEP_TILE(CELL, 4) GW_STEP_TILE(CELL, 5) GW_STEP_TILE(CELL, 6)
GW_STEP_FEW(GW_TANH)
GW_STEP_MORE(GW_TANH)
GW_STEP_FEW(GW_GRU)
GW_STEP_FEW(GW_LSTM)
#if defined(GW_WIDEST)
GW_STEP_MORE(GW_GRU)
GW_STEP_MORE(GW_LSTM)
#define GW_STEP_TILES(CELL)                                                                   \
  {0, gw_step_##CELL##_1, gw_step_##CELL##_2, gw_step_##CELL##_3, gw_step_##CELL##_4,         \
   gw_step_##CELL##_5, gw_step_##CELL##_6}
#else
#define GW_STEP_TILES(CELL) {0, gw_step_##CELL##_1, gw_step_##CELL##_2, gw_step_##CELL##_3}
#endif
/* Products of both plain cells are the same. */
static const GwStepTile gw_step_tiles[3][GW_STEP_ROWS + 1] = {
    {0, gw_step_GW_TANH_1, gw_step_GW_TANH_2, gw_step_GW_TANH_3, gw_step_GW_TANH_4,
     gw_step_GW_TANH_5, gw_step_GW_TANH_6},
    GW_STEP_TILES(GW_GRU),
    GW_STEP_TILES(GW_LSTM),
};

/* Where one row meets one step: `line` counts lines of [batch, steps]. */
typedef struct {
  const float* h;
  float *next, *c;
  int64_t line, unit;
} GwSpot;

/* `width` units of one row, s: the sums of their gates. */
GW_INLINE void gw_step_units(const int CELL, const GwRecurrence* r, GwSpot at,
                             const float* restrict s, const int64_t width) {
  const int64_t n = r->hidden, u = at.unit;
  float* kept = r->kept + at.line * GW_KEPT(CELL) * n + u;
  float *y = r->y + at.line * n + u, *before = r->before + at.line * n + u;
  float* cells = CELL == GW_LSTM ? r->cells + at.line * n + u : 0;
  const float* h = at.h + u;
  float *next = at.next + u, *c = CELL == GW_LSTM ? at.c + u : 0;
  GW_IVDEP
  for (int64_t j = 0; j < width; j++) {
    float value;
    before[j] = h[j];
    if (CELL == GW_LSTM) {
      float i = gw_gate_sigmoid(s[j]), f = gw_gate_sigmoid(s[GW_LANES + j]);
      float g = gw_gate_tanh(s[2 * GW_LANES + j]), o = gw_gate_sigmoid(s[3 * GW_LANES + j]);
      float state = f * c[j] + i * g;
      kept[j] = i, kept[n + j] = f, kept[2 * n + j] = g, kept[3 * n + j] = o;
      c[j] = cells[j] = state;
      value = o * gw_gate_tanh(state);
    } else if (CELL == GW_GRU) {
      float q = gw_gate_sigmoid(s[j]), z = gw_gate_sigmoid(s[GW_LANES + j]);
      float m = s[3 * GW_LANES + j], v = gw_gate_tanh(s[2 * GW_LANES + j] + q * m);
      kept[j] = q, kept[n + j] = z, kept[2 * n + j] = v, kept[3 * n + j] = m;
      value = v + z * (h[j] - v);
    } else {
      value = CELL == GW_TANH ? gw_gate_tanh(s[j]) : s[j] < 0 ? 0 : s[j];
      kept[j] = value;
    }
    y[j] = next[j] = value;
  }
}

/* A step that its row does not have: the states stay, everything else is 0. */
GW_INLINE void gw_step_idle(const int CELL, const GwRecurrence* r, GwSpot at, int64_t width) {
  const int64_t n = r->hidden, u = at.unit;
  for (int64_t j = 0; j < width; j++) {
    r->before[at.line * n + u + j] = at.next[u + j] = at.h[u + j];
    r->y[at.line * n + u + j] = 0;
    if (CELL == GW_LSTM) r->cells[at.line * n + u + j] = at.c[u + j];
    for (int g = 0; g < GW_KEPT(CELL); g++) r->kept[(at.line * GW_KEPT(CELL) + g) * n + u + j] = 0;
  }
}

/* What follows the sums s of `count` rows from b on. */
GW_INLINE void gw_step_after(const int CELL, const GwRecurrence* r, int64_t b, int64_t count,
                             int64_t t, int64_t unit, const float* h, float* next, float* c,
                             float* s) {
  const int64_t n = r->hidden, width = GW_MIN(GW_LANES, n - unit);
  for (int64_t i = b; i < b + count; i++, s += GW_KEPT(CELL) * GW_LANES) {
    GwSpot at = {h + i * n, next + i * n, c + i * n, i * r->steps + t, unit};
    const float* kept = r->kept + at.line * GW_KEPT(CELL) * n + unit;
    if (r->ends && t >= r->ends[i]) {
      gw_step_idle(CELL, r, at, width);
      continue;
    }
    for (int g = 0; r->features == 0 && g < GW_BLOCKS(CELL); g++)
      for (int64_t j = 0; j < width; j++) s[g * GW_LANES + j] += kept[g * n + j];
    if (width == GW_LANES) gw_step_units(CELL, r, at, s, GW_LANES);
    else gw_step_units(CELL, r, at, s, width);
  }
}

/* Fetch the lines that a tile will write while its products are made. */
GW_INLINE void gw_step_ahead(const int CELL, const GwRecurrence* r, int64_t b, int64_t count,
                             int64_t t, int64_t unit) {
  const int64_t n = r->hidden;
  for (int64_t i = b; i < b + count; i++) {
    const int64_t line = i * r->steps + t;
    __builtin_prefetch(r->y + line * n + unit, 1);
    __builtin_prefetch(r->before + line * n + unit, 1);
    if (CELL == GW_LSTM) __builtin_prefetch(r->cells + line * n + unit, 1);
    for (int g = 0; g < GW_KEPT(CELL); g++)
      __builtin_prefetch(r->kept + (line * GW_KEPT(CELL) + g) * n + unit, 1);
  }
}

GW_INLINE void gw_forward_of(const int CELL, const GwRecurrence* r) {
  const int64_t n = r->hidden, size = r->rows * n;
  const int64_t most = GW_BLOCKS(CELL) == 1 ? GW_STEP_ROWS : GW_STEP_MOST;
  const int64_t panel = gw_panel_size(CELL, r->features, n), tiles = (r->rows + most - 1) / most;
  const GwStepTile* tile = gw_step_tiles[CELL == GW_LSTM ? 2 : CELL == GW_GRU ? 1 : 0];
  float *h = r->work, *next = h + size, *c = next + size;
  memcpy(h, r->h0, size * sizeof(float));
  if (CELL == GW_LSTM) memcpy(c, r->c0, size * sizeof(float));
  for (int64_t i = 0; i < r->steps; i++) {
    const int64_t t = r->reverse ? r->steps - 1 - i : i;
    for (int64_t unit = 0; unit < n; unit += GW_LANES)
      for (int64_t part = 0; part < tiles; part++) {
        float s[GW_STEP_ROWS * 4 * GW_LANES] __attribute__((aligned(64)));
        const int64_t b = r->rows * part / tiles, count = r->rows * (part + 1) / tiles - b;
        gw_step_ahead(CELL, r, b, count, t, unit);
        tile[count](r, r->x + (b * r->steps + t) * r->features, h + b * n,
                    r->panels + unit / GW_LANES * panel, s);
        gw_step_after(CELL, r, b, count, t, unit, h, next, c, s);
      }
    float* swap = h;
    h = next, next = swap;
  }
  memcpy(r->h_n, h, size * sizeof(float));
  if (CELL == GW_LSTM) memcpy(r->c_n, c, size * sizeof(float));
}

void gw_recurrent_forward(int cell, const GwRecurrence* r) {
  if (cell == GW_LSTM) gw_forward_of(GW_LSTM, r);
  else if (cell == GW_GRU) gw_forward_of(GW_GRU, r);
  else if (cell == GW_RELU) gw_forward_of(GW_RELU, r);
  else gw_forward_of(GW_TANH, r);
}
#endif
#endif

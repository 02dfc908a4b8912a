/* Recurrences over time for some rows of a batch: the product of a step with the hidden weights,
 * gate by gate, is followed by the gates while it is in registers. Rows do not know each other, so
 * parts of a batch run side by side without waiting, and no sum depends on how they are cut. */
#ifndef GW_RECURRENT_H
#define GW_RECURRENT_H
#include "vectors.h"

enum { GW_TANH, GW_RELU, GW_GRU, GW_LSTM };
enum { GW_STEP_ROWS = GW_LANES == 16 ? 6 : 3, GW_BACK_WIDTH = 2 * GW_LANES };

/* Gates of the weights, and blocks of columns that a step keeps. */
#define GW_BLOCKS(CELL) ((CELL) == GW_LSTM ? 4 : (CELL) == GW_GRU ? 3 : 1)
#define GW_KEPT(CELL) ((CELL) >= GW_GRU ? 4 : 1)

/* Pointers are to the first row of a part. ends: how many steps each row has, or null. */
typedef struct {
  int64_t rows, steps, features, hidden, reverse;
  const int64_t* ends;
  const float *x, *w_ih, *bias, *panels, *h0, *c0;
  float *y, *h_n, *c_n, *before, *kept, *cells, *work;
} GwRecurrence;

typedef struct {
  int64_t rows, steps, hidden, reverse;
  const int64_t* ends;
  const float *g_y, *g_h, *g_c, *panels, *kept, *before, *c0, *cells;
  float *flow, *d_h, *d_c, *work;
} GwRecurrenceBack;

/* Panel p: the weights of GW_LANES units, all gates of them for each k side by side. */
GW_INLINE void gw_pack_step(const int CELL, int64_t hidden, const float* w, int64_t from,
                            int64_t to, float* out) {
  const int G = GW_BLOCKS(CELL);
  for (int64_t p = from; p < to; p++)
    for (int g = 0; g < G; g++)
      for (int j = 0; j < GW_LANES; j++) {
        int64_t unit = p * GW_LANES + j;
        float* at = out + p * hidden * G * GW_LANES + g * GW_LANES + j;
        const float* row = w + (g * hidden + GW_MIN(unit, hidden - 1)) * hidden;
        for (int64_t k = 0; k < hidden; k++) at[k * G * GW_LANES] = unit < hidden ? row[k] : 0;
      }
}

/* Panel p: GW_BACK_WIDTH columns of the weights. */
GW_INLINE void gw_pack_back(int64_t depth, int64_t hidden, const float* w, int64_t from,
                            int64_t to, float* out) {
  for (int64_t p = from; p < to; p++)
    for (int64_t k = 0; k < depth; k++)
      for (int j = 0; j < GW_BACK_WIDTH; j++) {
        int64_t unit = p * GW_BACK_WIDTH + j;
        out[(p * depth + k) * GW_BACK_WIDTH + j] = unit < hidden ? w[k * hidden + unit] : 0;
      }
}

/* out[i][g] = sum over k of h[i][k] panel[k][g], ROWS rows and G vectors. */
GW_INLINE void gw_step_tile(const int ROWS, const int G, int64_t depth, const float* h,
                            const float* panel, float* out) {
  GwVector s[6][4];
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) s[i][g] = gw_all(0);
  for (int64_t k = 0; k < depth; k++) {
    GwVector v[6];
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; i++) v[i] = gw_all(h[i * depth + k]);
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      GwVector t = gw_load(panel + (k * G + g) * GW_LANES);
#pragma GCC unroll 6
      for (int i = 0; i < ROWS; i++) s[i][g] = gw_fma(v[i], t, s[i][g]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) gw_store(out + (i * G + g) * GW_LANES, s[i][g]);
}

/* Where one row meets one step: `line` counts lines of [batch, steps]. */
typedef struct {
  const float* h;
  float *next, *c;
  int64_t line, unit;
} GwSpot;

/* `width` units of one row after their product s with the hidden weights. */
GW_INLINE void gw_step_units(const int CELL, const GwRecurrence* r, GwSpot at, const float* s,
                             int64_t width) {
  const int64_t n = r->hidden, u = at.unit;
  float* kept = r->kept + at.line * GW_KEPT(CELL) * n + u;
  float *y = r->y + at.line * n + u, *before = r->before + at.line * n + u;
  float* cells = CELL == GW_LSTM ? r->cells + at.line * n + u : 0;
  const float *bias = r->bias + u, *h = at.h + u;
  float *next = at.next + u, *c = CELL == GW_LSTM ? at.c + u : 0;
  GW_IVDEP
  for (int64_t j = 0; j < width; j++) {
    float value;
    before[j] = h[j];
    if (CELL == GW_LSTM) {
      float i = gw_sigmoid(kept[j] + s[j] + bias[j]);
      float f = gw_sigmoid(kept[n + j] + s[GW_LANES + j] + bias[n + j]);
      float g = gw_tanh(kept[2 * n + j] + s[2 * GW_LANES + j] + bias[2 * n + j]);
      float o = gw_sigmoid(kept[3 * n + j] + s[3 * GW_LANES + j] + bias[3 * n + j]);
      float state = f * c[j] + i * g;
      kept[j] = i, kept[n + j] = f, kept[2 * n + j] = g, kept[3 * n + j] = o;
      c[j] = cells[j] = state;
      value = o * gw_tanh(state);
    } else if (CELL == GW_GRU) {
      float q = gw_sigmoid(kept[j] + s[j] + bias[j]);
      float z = gw_sigmoid(kept[n + j] + s[GW_LANES + j] + bias[n + j]);
      float m = s[2 * GW_LANES + j] + bias[3 * n + j];
      float v = gw_tanh(kept[2 * n + j] + bias[2 * n + j] + q * m);
      kept[j] = q, kept[n + j] = z, kept[2 * n + j] = v, kept[3 * n + j] = m;
      value = v + z * (h[j] - v);
    } else {
      float sum = kept[j] + s[j] + bias[j];
      value = CELL == GW_TANH ? gw_tanh(sum) : sum < 0 ? 0 : sum;
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

/* What follows the products s of `count` rows from b on with the hidden weights. */
GW_INLINE void gw_step_after(const int CELL, const GwRecurrence* r, int64_t b, int64_t count,
                             int64_t t, int64_t unit, const float* h, float* next, float* c,
                             const float* s) {
  const int64_t n = r->hidden, width = GW_MIN(GW_LANES, n - unit);
  for (int64_t i = b; i < b + count; i++, s += GW_BLOCKS(CELL) * GW_LANES) {
    GwSpot at = {h + i * n, next + i * n, c + i * n, i * r->steps + t, unit};
    if (r->ends && t >= r->ends[i]) gw_step_idle(CELL, r, at, width);
    else if (width == GW_LANES) gw_step_units(CELL, r, at, s, GW_LANES);
    else gw_step_units(CELL, r, at, s, width);
  }
}

/* work: three times [rows, hidden]. The products with x of all steps are one product. */
GW_INLINE void gw_recurrent_forward(const int CELL, const GwRecurrence* r) {
  const int64_t n = r->hidden, size = r->rows * n;
  float *h = r->work, *next = h + size, *c = next + size;
  gw_sgemm(GW_ROW_MAJOR, GW_PLAIN, GW_TRANSPOSED, r->rows * r->steps, GW_BLOCKS(CELL) * n,
           r->features, 1, r->x, r->features, r->w_ih, r->features, 0, r->kept,
           GW_KEPT(CELL) * n);
  memcpy(h, r->h0, size * sizeof(float));
  if (CELL == GW_LSTM) memcpy(c, r->c0, size * sizeof(float));
  for (int64_t i = 0; i < r->steps; i++) {
    const int64_t t = r->reverse ? r->steps - 1 - i : i;
    for (int64_t unit = 0; unit < n; unit += GW_LANES)
      for (int64_t b = 0, left = r->rows, count; left; b += count, left -= count) {
        float s[GW_STEP_ROWS * 4 * GW_LANES];
        const float *a = h + b * n, *panel = r->panels + unit * n * GW_BLOCKS(CELL);
        count = left >= GW_STEP_ROWS && left != 4 ? GW_STEP_ROWS : left >= 2 ? 2 : 1;
        if (count == GW_STEP_ROWS) gw_step_tile(GW_STEP_ROWS, GW_BLOCKS(CELL), n, a, panel, s);
        else if (count == 2) gw_step_tile(2, GW_BLOCKS(CELL), n, a, panel, s);
        else gw_step_tile(1, GW_BLOCKS(CELL), n, a, panel, s);
        gw_step_after(CELL, r, b, count, t, unit, h, next, c, s);
      }
    float* swap = h;
    h = next, next = swap;
  }
  memcpy(r->h_n, h, size * sizeof(float));
  if (CELL == GW_LSTM) memcpy(r->c_n, c, size * sizeof(float));
}

/* The flow of one row through the gates of step t; d: that into h times the weights. */
GW_INLINE void gw_back_row(const int CELL, const GwRecurrenceBack* r, int64_t b, int64_t t, float* d_h,
                           float* d_c, float* d) {
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
      float s = gw_tanh(cell[j]), into = d_c[j] + in * o * (1 - s * s);
      d[j] = into * g * i * (1 - i);
      d[n + j] = into * before[j] * f * (1 - f);
      d[2 * n + j] = into * i * (1 - g * g);
      d[3 * n + j] = in * s * o * (1 - o);
      d_c[j] = into * f;
      d_h[j] = 0;
    } else if (CELL == GW_GRU) {
      float q = kept[j], z = kept[n + j], v = kept[2 * n + j], m = kept[3 * n + j];
      float into = in * (1 - z) * (1 - v * v);
      d[j] = into * m * q * (1 - q);
      d[n + j] = in * (before[j] - v) * z * (1 - z);
      d[2 * n + j] = into * q;
      flow[2 * n + j] = into;
      d_h[j] = in * z;
    } else {
      d[j] = CELL == GW_TANH ? in * (1 - kept[j] * kept[j]) : kept[j] > 0 ? in : 0;
      d_h[j] = 0;
    }
  }
  if (CELL == GW_GRU) {
    memcpy(flow, d, 2 * n * sizeof(float));
    memcpy(flow + 3 * n, d + 2 * n, n * sizeof(float));
  } else {
    memcpy(flow, d, GW_BLOCKS(CELL) * n * sizeof(float));
  }
}

/* d_h += d times the weights, for all rows. */
GW_INLINE void gw_back_product(const int CELL, const GwRecurrenceBack* r, const float* d, float* d_h,
                               int64_t wide) {
  const int64_t depth = GW_BLOCKS(CELL) * r->hidden;
  for (int64_t unit = 0; unit < wide; unit += GW_BACK_WIDTH) {
    const float* panel = r->panels + unit * depth;
    for (int64_t b = 0, left = r->rows; left; b = r->rows - left) {
      const float* a = d + b * depth;
      float* c = d_h + b * wide + unit;
#define GW_ROWS(N)                                                                     \
  gw_tile_of(N, 2, depth, a, depth, 1, panel, GW_BACK_WIDTH, c, wide, 1), left -= (N)
      if (left >= 6) GW_ROWS(6);
      else if (left >= 4) GW_ROWS(4);
      else if (left >= 2) GW_ROWS(2);
      else GW_ROWS(1);
#undef GW_ROWS
    }
  }
}

/* work: [rows, wide] and [rows, blocks * hidden] and [rows, hidden]; wide: hidden, filled up. */
GW_INLINE void gw_recurrent_backward(const int CELL, const GwRecurrenceBack* r) {
  const int64_t n = r->hidden, depth = GW_BLOCKS(CELL) * n;
  const int64_t wide = (n + GW_BACK_WIDTH - 1) / GW_BACK_WIDTH * GW_BACK_WIDTH;
  float *d_h = r->work, *d = d_h + r->rows * wide, *d_c = d + r->rows * depth;
  memset(d_h, 0, r->rows * wide * sizeof(float));
  for (int64_t b = 0; b < r->rows; b++) {
    memcpy(d_h + b * wide, r->g_h + b * n, n * sizeof(float));
    if (CELL == GW_LSTM) memcpy(d_c + b * n, r->g_c + b * n, n * sizeof(float));
  }
  for (int64_t i = 0; i < r->steps; i++) {
    const int64_t t = r->reverse ? i : r->steps - 1 - i;
    for (int64_t b = 0; b < r->rows; b++) {
      if (r->ends && t >= r->ends[b]) {
        memset(d + b * depth, 0, depth * sizeof(float));
        memset(r->flow + (b * r->steps + t) * GW_KEPT(CELL) * n, 0,
               GW_KEPT(CELL) * n * sizeof(float));
      } else {
        gw_back_row(CELL, r, b, t, d_h + b * wide, d_c + b * n, d + b * depth);
      }
    }
    gw_back_product(CELL, r, d, d_h, wide);
  }
  for (int64_t b = 0; b < r->rows; b++) {
    memcpy(r->d_h + b * n, d_h + b * wide, n * sizeof(float));
    if (CELL == GW_LSTM) memcpy(r->d_c + b * n, d_c + b * n, n * sizeof(float));
  }
}
#endif

/* Convolution without panels: a channel is copied once, with zeros around it and cut by the stride
 * into phases, so that every tap sees the positions of a grid as numbers that follow each other.
 * Positions are counted through the rows of a phase; those between the rows are made for nothing. */
#ifndef GW_FLAT_H
#define GW_FLAT_H
#include "conv.h"

typedef struct {
  int64_t size[3], plane;      /* of a channel */
  int64_t origin[3], step[3];  /* where the first phase begins, and how far its numbers are apart */
  int64_t extent[3], pitch;    /* of a phase; numbers of all phases of a channel */
  int64_t grid[3], length;     /* positions of an image; those that are counted through */
  int64_t phases, taps;
  const int32_t (*phase)[3];
  const int32_t* at;           /* where a tap of the first position stands */
} GwFlat;

GW_SHARED void gw_flat_spread(const GwFlat* f, const float* x, int64_t channels, float* out);
GW_SHARED void gw_flat_convolve(const GwFlat* f, const GwTarget* g, const float* seen,
                                const float* packed, const GwAfter* after, float* y,
                                int64_t channels, int64_t rows, int64_t band, float* sums);
GW_SHARED void gw_flat_flows(const GwFlat* f, const float* g, int64_t plane, int64_t rows,
                             int64_t length, float* out);
GW_SHARED void gw_flat_weight(const GwFlat* f, const float* seen, const float* flows,
                              int64_t channels, int64_t rows, int64_t length, float* sums);
GW_SHARED void gw_flat_close(const float* sums, int64_t chunks, int64_t pitch, int64_t padded,
                             int64_t rows, int64_t depth, int64_t from, int64_t to, float* out);

#ifdef GW_LIBRARY
/* out[channels][pitch] of x[channels][plane]. */
void gw_flat_spread(const GwFlat* f, const float* x, int64_t channels, float* out) {
  const int64_t step = f->step[2], across = f->extent[2];
  for (int64_t c = 0; c < channels; c++, x += f->plane)
    for (int64_t p = 0; p < f->phases; p++) {
      const int64_t left = f->phase[p][2] + f->origin[2], right = f->size[2] - left;
      int64_t low = left < 0 ? (-left + step - 1) / step : 0;
      int64_t high = right > 0 ? (right + step - 1) / step : 0;
      low = GW_MIN(low, across);
      high = GW_MAX(low, GW_MIN(high, across));
      for (int64_t a = 0; a < f->extent[0]; a++)
        for (int64_t b = 0; b < f->extent[1]; b++, out += across) {
          const int64_t z = a * f->step[0] + f->phase[p][0] + f->origin[0];
          const int64_t y = b * f->step[1] + f->phase[p][1] + f->origin[1];
          if (z < 0 || z >= f->size[0] || y < 0 || y >= f->size[1]) {
            memset(out, 0, (size_t)across * sizeof(float));
            continue;
          }
          const float* from = x + (z * f->size[1] + y) * f->size[2] + left;
          for (int64_t i = 0; i < low; i++) out[i] = 0;
          if (step == 1) memcpy(out + low, from + low, (size_t)(high - low) * sizeof(float));
          else for (int64_t i = low; i < high; i++) out[i] = from[i * step];
          for (int64_t i = high; i < across; i++) out[i] = 0;
        }
    }
}

/* ROWS rows of three vectors: weights [channel][tap][GW_HIGH] times what the taps see from b on. */
GW_INLINE void gw_flat_tile(const int ROWS, const GwFlat* f, int64_t channels, const float* a,
                            const float* b, float* c, int64_t c_row) {
  GwVector s[8][3];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < 3; j++) s[i][j] = gw_all(0);
  for (int64_t k = 0; k < channels; k++, b += f->pitch)
#pragma GCC unroll 1 /* more would not fit into the registers */
    for (int64_t t = 0; t < f->taps; t++, a += GW_HIGH) {
      const float* from = b + f->at[t];
      GwVector v[3];
#pragma GCC unroll 3
      for (int j = 0; j < 3; j++) {
        v[j] = gw_load(from + j * GW_LANES);
        if (ROWS < 5) GW_HOLD(v[j]);
      }
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) {
        GwVector w = gw_all(a[i]);
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++) s[i][j] = gw_fma(w, v[j], s[i][j]);
      }
    }
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 3
    for (int j = 0; j < 3; j++) gw_store(c + i * c_row + j * GW_LANES, s[i][j]);
}

/* Positions first..first + count of c[rows][c_row] to where they belong. */
static void gw_flat_put(const GwFlat* f, const GwTarget* g, float* y, int64_t first, int64_t count,
                        int64_t rows, const float* c, int64_t c_row, const GwAfter* after) {
  const int64_t across = f->extent[2], step = g->step[2];
  for (int64_t done = 0; done < count;) {
    const int64_t row = (first + done) / across, x = first + done - row * across;
    const int64_t z = row / f->extent[1], v = row - z * f->extent[1];
    const int64_t run = GW_MIN(count - done, across - x), kept = GW_MIN(run, f->grid[2] - x);
    if (v < f->grid[1]) {
      const int64_t at = ((z * g->step[0] + g->start[0]) * g->size[1] + v * g->step[1] + g->start[1])
                             * g->size[2] + x * step + g->start[2];
      for (int64_t i = 0; i < rows; i++)
        gw_finish(after, i, c + i * c_row + done, kept, y, at + i * g->plane, step);
    }
    done += run;
  }
}

/* `rows` channels of the result of one image (y, after and packed start at the first of them), so
 * many positions (`band`) at a time. seen: the image as gw_flat_spread has it, and GW_SHEET numbers
 * more. sums: memory for GW_HIGH * (band, rounded up to GW_SHEET). */
void gw_flat_convolve(const GwFlat* f, const GwTarget* g, const float* seen,
                      const float* packed, const GwAfter* after, float* y, int64_t channels,
                      int64_t rows, int64_t band, float* sums) {
  const int64_t wide = (band + GW_SHEET - 1) / GW_SHEET * GW_SHEET;
  for (int64_t first = 0; first < f->length; first += band) {
    const int64_t count = GW_MIN(band, f->length - first);
    for (int64_t r = 0; r < rows; r += GW_HIGH) {
      const float* a = packed + r * channels * f->taps;
      for (int64_t q = 0; q < count; q += 3 * GW_LANES)
#if defined(GW_WIDEST)
        gw_flat_tile(8, f, channels, a, seen + first + q, sums + q, wide);
#else
        for (int i = 0; i < GW_HIGH; i += 4)
          gw_flat_tile(4, f, channels, a + i, seen + first + q, sums + i * wide + q, wide);
#endif
      const GwAfter rest = gw_after_rows(after, r, r * g->plane);
      gw_flat_put(f, g, y + r * g->plane, first, count, GW_MIN(GW_HIGH, rows - r), sums, wide,
                  &rest);
    }
  }
}

/* out[rows][length] of g[rows][plane], zeros between the rows of the grid. */
void gw_flat_flows(const GwFlat* f, const float* g, int64_t plane, int64_t rows,
                   int64_t length, float* out) {
  for (int64_t r = 0; r < rows; r++, g += plane, out += length) {
    int64_t at = 0;
    for (int64_t row = 0; row < f->grid[0] * f->extent[1] && at < length; row++) {
      const int64_t z = row / f->extent[1], v = row - z * f->extent[1];
      const int64_t run = GW_MIN(f->extent[2], length - at);
      const int64_t some = v < f->grid[1] ? GW_MIN(run, f->grid[2]) : 0;
      if (some)
        memcpy(out + at, g + (z * f->grid[1] + v) * f->grid[2], (size_t)some * sizeof(float));
      for (int64_t i = some; i < run; i++) out[at + i] = 0;
      at += run;
    }
    for (; at < length; at++) out[at] = 0;
  }
}

/* sums[.][.][GW_LANES] += what TAPS taps see times ROWS flows, lane by lane. */
GW_INLINE void gw_flat_meet(const int TAPS, const int ROWS, const float* const* seen,
                            const float* flows, int64_t length, float* sums, int64_t pitch) {
  GwVector s[3][4];
#pragma GCC unroll 3
  for (int i = 0; i < TAPS; i++)
#pragma GCC unroll 4
    for (int j = 0; j < ROWS; j++) s[i][j] = gw_all(0);
  for (int64_t q = 0; q < length; q += GW_LANES) {
    GwVector v[4];
#pragma GCC unroll 3
    for (int i = 0; i < TAPS; i++) {
      v[i] = gw_load(seen[i] + q);
      GW_HOLD(v[i]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < ROWS; j++) {
      GwVector h = gw_load(flows + j * length + q);
      GW_HOLD(h);
#pragma GCC unroll 3
      for (int i = 0; i < TAPS; i++) s[i][j] = gw_fma(v[i], h, s[i][j]);
    }
  }
#pragma GCC unroll 3
  for (int i = 0; i < TAPS; i++)
#pragma GCC unroll 4
    for (int j = 0; j < ROWS; j++) {
      float* at = sums + i * pitch + j * GW_LANES;
      gw_store(at, gw_load(at) + s[i][j]);
    }
}

/* sums[channel][tap][rows][GW_LANES] += of one image; rows: a multiple of 4. */
void gw_flat_weight(const GwFlat* f, const float* seen, const float* flows, int64_t channels,
                    int64_t rows, int64_t length, float* sums) {
  const int64_t depth = channels * f->taps, pitch = rows * GW_LANES;
  for (int64_t r = 0; r < rows; r += 4)
    for (int64_t k = 0; k < depth; k += 3) {
      const float* from[3];
      for (int64_t i = 0; i < GW_MIN(3, depth - k); i++)
        from[i] = seen + (k + i) / f->taps * f->pitch + f->at[(k + i) % f->taps];
      float* at = sums + k * pitch + r * GW_LANES;
      if (depth - k >= 3) gw_flat_meet(3, 4, from, flows + r * length, length, at, pitch);
      else if (depth - k == 2) gw_flat_meet(2, 4, from, flows + r * length, length, at, pitch);
      else gw_flat_meet(1, 4, from, flows + r * length, length, at, pitch);
    }
}

/* out[row][depth] = all lanes of all chunks, `pitch` apart, of sums [depth][lanes of rows]. */
void gw_flat_close(const float* sums, int64_t chunks, int64_t pitch, int64_t padded,
                   int64_t rows, int64_t depth, int64_t from, int64_t to, float* out) {
  for (int64_t k = from; k < to; k++)
    for (int64_t r = 0; r < rows; r++) {
      float s[GW_LANES] = {0};
      for (int64_t c = 0; c < chunks; c++)
        for (int l = 0; l < GW_LANES; l++)
          s[l] += sums[c * pitch + (k * padded + r) * GW_LANES + l];
      for (int half = GW_LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) s[l] += s[l + half];
      out[r * depth + k] = s[0];
    }
}
#endif
#endif

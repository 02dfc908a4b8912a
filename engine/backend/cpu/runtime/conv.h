/* Convolution as products of packed panels: the windows of some positions side by side, a row for
 * every channel and tap, times weights packed in groups of rows. Both gradients use the same
 * panels. Positions of all images follow each other, so small images fill panels as well. */
#ifndef GW_CONV_H
#define GW_CONV_H
#include "vectors.h"

enum { GW_HIGH = 8, GW_SHEET = 48 };

/* How the positions of a grid look at images: position p of tap t sees p * step + offset[t]. */
typedef struct {
  int64_t image;              /* elements from one image to the next */
  int64_t size[3], plane;     /* of a channel of an image */
  int64_t grid[3], places;    /* positions of an image */
  int64_t step[3], taps;
  const int32_t (*offset)[3];
} GwWindows;

/* Where the numbers of a grid go: position p to p * step + start of every channel. */
typedef struct {
  int64_t image, plane, size[3], step[3], start[3];
  int dense; /* positions of an image follow each other */
} GwTarget;

/* What becomes of the numbers of a result on their way to their places: they are multiplied by the
 * scale of their channel and get its shift (0 for neither), then `more` of the same place (0 for
 * nothing), and are at least `low`. All begin where the result does. */
typedef struct {
  const float *scale, *shift, *more;
  float low;
} GwAfter;

GW_SHARED void gw_pack_weights(const float* weight, int64_t rows, int64_t channels, int64_t taps,
                               int64_t row, int64_t channel, const int32_t* tap, float* out,
                               int64_t from, int64_t to);
GW_SHARED void gw_convolve(const GwWindows* w, const GwTarget* g, const float* x,
                           const float* packed, const GwAfter* after, float* y,
                           int64_t channels, int64_t rows, int64_t first, int64_t count,
                           int64_t block, int64_t tiles, float* patches);
GW_SHARED void gw_conv_weight(const GwWindows* w, const float* x, const float* g, int64_t g_image,
                              int64_t channels, int64_t rows, int64_t lanes, int64_t first,
                              int64_t count, int64_t wide, float* patches, float* out);
GW_SHARED void gw_sum_turned(const float* sums, int64_t chunks, int64_t pitch, int64_t lanes,
                             int64_t rows, int64_t from, int64_t to, float* out, int64_t out_row);

/* Whether `count` weights differ from their copy, or that was never made; it is made then, and what
 * is made of it counts as lost until gw_known says otherwise. */
static inline int gw_changed(int32_t* known, const float* weights, int64_t count, float* copy) {
  const size_t bytes = (size_t)count * sizeof(float);
  if (*known && memcmp(weights, copy, bytes) == 0) return 0;
  *known = 0;
  __atomic_thread_fence(__ATOMIC_SEQ_CST); /* a process may be forked at any time */
  memcpy(copy, weights, bytes);
  return 1;
}

static inline void gw_known(int32_t* known) { __atomic_store_n(known, 1, __ATOMIC_RELEASE); }

#ifdef GW_LIBRARY
typedef struct {
  int64_t n, z, y, x, run;
} GwRun;

/* The positions from `place` on that lie in one row of one image. */
static inline GwRun gw_run(const int64_t* grid, int64_t places, int64_t place, int64_t most) {
  GwRun r;
  r.n = place / places;
  int64_t rest = place - r.n * places, row = rest / grid[2];
  r.x = rest - row * grid[2];
  r.z = row / grid[1];
  r.y = row - r.z * grid[1];
  r.run = GW_MIN(most, grid[2] - r.x);
  return r;
}

/* Rows of `run` numbers: zeros, source numbers at low..high, zeros. */
static void gw_rows(const float* source, int64_t pitch, int64_t step, int64_t low, int64_t high,
                    int64_t run, int64_t count, float* out, int64_t out_pitch) {
#if defined(GW_WIDEST)
  if (step <= 2) {
    for (int64_t j = 0; j < run; j += 16) {
      int64_t width = GW_MIN(run - j, 16), from = GW_MAX(low - j, 0), to = GW_MIN(high - j, 16);
      __mmask16 kept = (__mmask16)((1u << width) - 1);
      uint32_t some = to > from ? (uint32_t)((1u << to) - (1u << from)) : 0;
      float* y = out + j;
      if (step == 1) {
        const float* x = source + j;
        for (int64_t c = 0; c < count; c++, x += pitch, y += out_pitch)
          _mm512_mask_storeu_ps(y, kept, _mm512_maskz_loadu_ps((__mmask16)some, x));
      } else {
        const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26,
                                               28, 30);
        uint32_t spread = 0;
        for (int i = 0; i < 16; i++) spread |= (some >> i & 1u) << (2 * i);
        const float* x = source + 2 * j;
        for (int64_t c = 0; c < count; c++, x += pitch, y += out_pitch) {
          __m512 one = _mm512_maskz_loadu_ps((__mmask16)spread, x);
          __m512 two = _mm512_maskz_loadu_ps((__mmask16)(spread >> 16), x + 16);
          _mm512_mask_storeu_ps(y, kept, _mm512_permutex2var_ps(one, even, two));
        }
      }
    }
    return;
  }
#endif
  for (int64_t c = 0; c < count; c++, source += pitch, out += out_pitch) {
    int64_t i = 0;
    for (; i < low; i++) out[i] = 0;
    if (step == 1) for (; i < high; i++) out[i] = source[i];
    else for (; i < high; i++) out[i] = source[i * step];
    for (; i < run; i++) out[i] = 0;
  }
}

/* The windows of `count` positions from `first` on, in panels `width` wide that lie `panel` apart;
 * row c * taps + t for channel c and tap t. The last panel is filled up with zeros. */
static void gw_patches(const GwWindows* w, const float* x, int64_t first, int64_t count,
                       int64_t channels, float* out, int64_t width, int64_t panel) {
  for (int64_t done = 0; done < count;) {
    int64_t room = GW_MIN(count - done, width - done % width);
    GwRun r = gw_run(w->grid, w->places, first + done, room);
    const float* image = x + r.n * w->image;
    float* at = out + done / width * panel + done % width;
    for (int64_t t = 0; t < w->taps; t++) {
      const int32_t* o = w->offset[t];
      int64_t z = r.z * w->step[0] + o[0], y = r.y * w->step[1] + o[1], step = w->step[2];
      int64_t left = r.x * step + o[2], low = 0, high = 0;
      if (z >= 0 && z < w->size[0] && y >= 0 && y < w->size[1]) {
        low = left < 0 ? (-left + step - 1) / step : 0;
        high = left < w->size[2] ? (w->size[2] - left + step - 1) / step : 0;
        low = GW_MIN(low, r.run);
        high = GW_MAX(low, GW_MIN(high, r.run));
      } else {
        z = y = 0;
      }
      const float* source = image + (z * w->size[1] + y) * w->size[2] + left;
      gw_rows(source, w->plane, step, low, high, r.run, channels, at + t * width, w->taps * width);
    }
    done += r.run;
  }
  int64_t end = count % width;
  if (end)
    for (int64_t k = 0; k < channels * w->taps; k++)
      for (int64_t j = end; j < width; j++) out[count / width * panel + k * width + j] = 0;
}

/* Weights in groups of GW_HIGH rows, [group][k][row], k = channel * taps + tap; groups from..to.
 * The number of row i, channel c, tap t stands at i * row + c * channel + tap[t]. */
void gw_pack_weights(const float* weight, int64_t rows, int64_t channels, int64_t taps,
                     int64_t row, int64_t channel, const int32_t* tap, float* out,
                     int64_t from, int64_t to) {
  for (int64_t g = from; g < to; g++)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t t = 0; t < taps; t++) {
        float* at = out + ((g * channels + c) * taps + t) * GW_HIGH;
        for (int64_t i = 0; i < GW_HIGH; i++)
          at[i] = g * GW_HIGH + i < rows
                      ? weight[(g * GW_HIGH + i) * row + c * channel + tap[t]] : 0;
      }
}

/* GW_HIGH rows of c[.][GW_SHEET] (+)= packed weights times a panel. */
GW_INLINE void gw_panel_product(int64_t depth, const float* a, const float* b, float* c,
                                int64_t c_row, int add) {
#if defined(GW_WIDEST)
  gw_tile_of(8, 3, depth, a, 1, GW_HIGH, b, GW_SHEET, c, c_row, add);
#else
  for (int j = 0; j < GW_SHEET; j += 3 * GW_LANES)
    for (int i = 0; i < GW_HIGH; i += 4)
      gw_tile_of(4, 3, depth, a + i, 1, GW_HIGH, b + j, GW_SHEET, c + i * c_row + j, c_row, add);
#endif
}

/* The same for channels from `row` on, whose numbers begin `away` behind those of the first. */
GW_INLINE GwAfter gw_after_rows(const GwAfter* a, int64_t row, int64_t away) {
  const GwAfter rest = {a->scale ? a->scale + row : 0, a->shift ? a->shift + row : 0,
                        a->more ? a->more + away : 0, a->low};
  return rest;
}

/* The larger of both; what is not a number stays so in v, and a zero keeps the sign it has there. */
#if defined(GW_WIDEST)
#define gw_at_least(low, v) _mm512_max_ps(low, v)
#elif defined(__AVX2__) && defined(__FMA__)
#define gw_at_least(low, v) _mm256_max_ps(low, v)
#else
static inline GwVector gw_at_least(GwVector low, GwVector v) {
  for (int i = 0; i < GW_LANES; i++) v[i] = v[i] < low[i] ? low[i] : v[i];
  return v;
}
#endif

/* `run` numbers of a channel to places `step` apart, the first of which is `away` from the start
 * of the result. */
GW_INLINE void gw_finish(const GwAfter* a, int64_t row, const float* restrict from, int64_t run,
                         float* restrict y, int64_t away, int64_t step) {
  const float scale = a->scale ? a->scale[row] : 1, shift = a->shift ? a->shift[row] : 0;
  const float* restrict more = a->more ? a->more + away : 0;
  float* restrict to = y + away;
  int64_t j = 0;
  if (step == 1) {
    const GwVector times = gw_all(scale), plus = gw_all(shift), low = gw_all(a->low);
    for (; j + GW_LANES <= run; j += GW_LANES) {
      GwVector v = gw_load(from + j) * times + plus;
      if (more) v = v + gw_load(more + j);
      gw_store(to + j, gw_at_least(low, v));
    }
  }
  for (; j < run; j++) {
    float v = from[j] * scale + shift;
    if (more) v += more[j * step];
    to[j * step] = v < a->low ? a->low : v;
  }
}

static void gw_put(const GwTarget* g, const GwWindows* w, float* y, int64_t first, int64_t count,
                   int64_t rows, const float* c, int64_t c_row, const GwAfter* after) {
  for (int64_t done = 0; done < count;) {
    int64_t place = first + done, run = 0, step = g->step[2];
    int64_t at;
    if (g->dense) {
      int64_t n = place / w->places, rest = place - n * w->places;
      run = GW_MIN(count - done, w->places - rest);
      at = n * g->image + rest;
    } else {
      GwRun r = gw_run(w->grid, w->places, place, count - done);
      int64_t z = r.z * g->step[0] + g->start[0], v = r.y * g->step[1] + g->start[1];
      at = r.n * g->image + (z * g->size[1] + v) * g->size[2] + r.x * step + g->start[2];
      run = r.run;
    }
    for (int64_t i = 0; i < rows; i++)
      gw_finish(after, i, c + i * c_row + done, run, y, at + i * g->plane, step);
    done += run;
  }
}

/* y = weights applied to the windows of positions first..first + count, for `rows` channels of y
 * (y, after and packed start at the first of them). block: channels of x worked on at a time.
 * tiles: panels worked on at a time. patches: memory for
 * tiles * GW_SHEET * (block * taps + rows, rounded up to whole groups). */
void gw_convolve(const GwWindows* w, const GwTarget* g, const float* x, const float* packed,
                 const GwAfter* after, float* y, int64_t channels, int64_t rows, int64_t first,
                 int64_t count, int64_t block, int64_t tiles, float* patches) {
  int64_t depth = channels * w->taps, groups = (rows + GW_HIGH - 1) / GW_HIGH;
  int64_t wide = tiles * GW_SHEET, panel = block * w->taps * GW_SHEET;
  float* sums = patches + tiles * panel;
  for (int64_t place = first; place < first + count; place += wide) {
    int64_t some = GW_MIN(wide, first + count - place), used = (some + GW_SHEET - 1) / GW_SHEET;
    for (int64_t c = 0; c < channels; c += block) {
      int64_t now = GW_MIN(block, channels - c);
      gw_patches(w, x + c * w->plane, place, some, now, patches, GW_SHEET, panel);
      for (int64_t i = 0; i < groups; i++)
        for (int64_t t = 0; t < used; t++)
          gw_panel_product(now * w->taps, packed + (i * depth + c * w->taps) * GW_HIGH,
                           patches + t * panel, sums + i * GW_HIGH * wide + t * GW_SHEET, wide,
                           c > 0);
    }
    gw_put(g, w, y, place, some, rows, sums, wide, after);
  }
}

/* [count positions][lanes] of g[rows][position], zeros beyond rows. */
static void gw_turned(const float* g, int64_t image, int64_t places, int64_t first, int64_t count,
                      int64_t rows, int64_t lanes, float* out) {
  for (int64_t done = 0; done < count;) {
    int64_t place = first + done, n = place / places, rest = place - n * places;
    int64_t run = GW_MIN(count - done, places - rest);
    const float* at = g + n * image + rest;
    for (int64_t i = 0; i < lanes; i += 16)
      for (int64_t j = 0; j < run; j += 16) {
        int64_t high = GW_MIN(16, rows - i), wide = GW_MIN(16, run - j);
        float* y = out + (done + j) * lanes + i;
        const float* x = at + i * places + j;
        if (high == 16 && wide == 16) {
          float t[16][16] __attribute__((aligned(64)));
          for (int a = 0; a < 16; a++)
            for (int b = 0; b < 16; b++) t[a][b] = x[a * places + b];
          for (int b = 0; b < 16; b++)
            for (int a = 0; a < 16; a++) y[b * lanes + a] = t[a][b];
        } else {
          for (int64_t b = 0; b < wide; b++)
            for (int64_t a = 0; a < 16; a++) y[b * lanes + a] = a < high ? x[a * places + b] : 0;
        }
      }
    done += run;
  }
}

/* Rows of gw_outer, rounded up to what it works on at a time. */
static inline int64_t gw_outer_rows(int64_t rows, int64_t lanes) {
  int64_t step = lanes / 16 % 4 == 3 ? 24 : 12;
  return (rows + step - 1) / step * step;
}

/* c[rows][lanes] += a[rows][depth] b[depth][lanes]; rows: as gw_outer_rows has them. */
static void gw_outer(int64_t rows, int64_t lanes, int64_t depth, const float* a, int64_t a_row,
                     const float* b, float* c) {
#if defined(GW_WIDEST)
#define GW_BLOCK(R, NV)                                                        \
  for (int64_t i = 0; i < rows; i += R)                                        \
    gw_tile_of(R, NV, depth, a + i * a_row, a_row, 1, b + j, lanes, c + i * lanes + j, lanes, 1)
  for (int64_t j = 0; j < lanes;) {
    int64_t vectors = (lanes - j) / 16;
    if (vectors >= 4) { GW_BLOCK(6, 4); j += 64; }
    else if (vectors == 3) { GW_BLOCK(8, 3); j += 48; }
    else if (vectors == 2) { GW_BLOCK(12, 2); j += 32; }
    else { GW_BLOCK(12, 1); j += 16; }
  }
#undef GW_BLOCK
#else
  for (int64_t j = 0; j < lanes; j += 2 * GW_LANES)
    for (int64_t i = 0; i < rows; i += 6)
      gw_tile_of(6, 2, depth, a + i * a_row, a_row, 1, b + j, lanes, c + i * lanes + j, lanes, 1);
#endif
}

/* out[channels * taps][lanes] = sum over positions first..first + count of window times g, so many
 * (`wide`) at a time. patches: memory for (padded + lanes) * wide + padded * lanes, where padded is
 * channels * taps as gw_outer_rows rounds it up. */
void gw_conv_weight(const GwWindows* w, const float* x, const float* g, int64_t g_image,
                    int64_t channels, int64_t rows, int64_t lanes, int64_t first,
                    int64_t count, int64_t wide, float* patches, float* out) {
  int64_t depth = channels * w->taps, padded = gw_outer_rows(depth, lanes);
  float *turned = patches + padded * wide, *sums = turned + lanes * wide;
  memset(patches + depth * wide, 0, (size_t)((padded - depth) * wide) * sizeof(float));
  memset(sums, 0, (size_t)(padded * lanes) * sizeof(float));
  for (int64_t place = first; place < first + count; place += wide) {
    int64_t some = GW_MIN(wide, first + count - place);
    gw_patches(w, x, place, some, channels, patches, wide, 0);
    gw_turned(g, g_image, w->places, place, some, rows, lanes, turned);
    gw_outer(padded, lanes, some, patches, wide, turned, sums);
  }
  memcpy(out, sums, (size_t)(depth * lanes) * sizeof(float));
}

/* out[rows][depth] (rows out_row apart) = sum of `chunks` of [depth][lanes], pitch apart. */
void gw_sum_turned(const float* sums, int64_t chunks, int64_t pitch, int64_t lanes,
                   int64_t rows, int64_t from, int64_t to, float* out, int64_t out_row) {
  for (int64_t i = 0; i < rows; i += 16)
    for (int64_t k = from; k < to; k += 16) {
      float t[16][16] __attribute__((aligned(64)));
      int64_t high = GW_MIN(16, rows - i), deep = GW_MIN(16, to - k);
      for (int64_t b = 0; b < deep; b++)
        for (int64_t a = 0; a < 16; a++) t[b][a] = sums[(k + b) * lanes + i + a];
      for (int64_t c = 1; c < chunks; c++)
        for (int64_t b = 0; b < deep; b++)
          for (int64_t a = 0; a < 16; a++) t[b][a] += sums[c * pitch + (k + b) * lanes + i + a];
      for (int64_t a = 0; a < high; a++)
        for (int64_t b = 0; b < deep; b++) out[(i + a) * out_row + k + b] = t[b][a];
    }
}
#endif
#endif

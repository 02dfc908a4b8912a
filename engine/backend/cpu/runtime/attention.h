/* Attention in tiles: a block of rows of scores at a time, the largest score and the sum of a row
 * carried from block to block of keys (Milakov and Gimelshein 2018), the gradient from the
 * log-sum-exp (Dao et al. 2022). All that products read is packed: features and keys are padded
 * with zeros. */
#ifndef GW_ATTENTION_H
#define GW_ATTENTION_H
#include "philox.h"
#include "vectors.h"

/* Rows of a tile; keys of a block, a multiple of that and of GW_WIDE. */
enum { GW_ATTEND_ROWS = 6, GW_ATTEND_KEYS = 144 };

/* rows, keys: positions. depth, wide: features of q and k, of v; deep, broad: padded.
 * block: rows worked on at a time. *_row: elements from one position to the next. */
typedef struct {
  int64_t rows, keys, depth, wide, deep, broad, block;
  int64_t q_row, k_row, v_row, y_row, g_row, dq_row, dk_row, dv_row;
  int causal, masked; /* masked: 1 truth values, 2 floats */
  int64_t m_row, m_key;
  float scale, kept; /* kept: what dropout multiplies by; 0 without dropout */
  uint32_t draw, least;
} GwAttention;

/* One head: its mask, and where its scores stand among all, for dropout. */
typedef struct {
  const void* mask;
  uint64_t seed, step, first;
} GwHead;

/* Packed for the gradient. Of keys, for all heads of queries that share them: k and v turned, k in
 * rows times the scale, what flows into k and v. Of queries: q, g, and what flows into q. */
typedef struct {
  float *kt, *vt, *k, *into_k, *into_v, *q, *g, *into_q, *level, *s, *p;
} GwBackward;

GW_SHARED void gw_attend(const GwAttention* t, const GwHead* head, const float* q, const float* k,
                         const float* v, float* y, float* lse, int64_t first, int64_t last,
                         float* work);
GW_SHARED int64_t gw_attention_split(const GwAttention* t, float* work, GwBackward* w);
GW_SHARED void gw_back_keys(const GwAttention* t, const float* k, const float* v, GwBackward* w);
GW_SHARED void gw_back_head(const GwAttention* t, const GwHead* head, const float* q,
                            const float* g, const float* y, const float* lse, float* into_q,
                            GwBackward* w);
GW_SHARED void gw_back_done(const GwAttention* t, float* into_k, float* into_v,
                            const GwBackward* w);

#ifdef GW_LIBRARY
#include "turns.h"

static inline int64_t gw_attend_padded(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

/* A strip of rows of c[i][0..n) (+)= a[i][0..depth) b; n a multiple of GW_WIDE. */
GW_INLINE void gw_attend_strip(int64_t depth, const float* a, int64_t row, int64_t step,
                               const float* b, int64_t b_row, float* c, int64_t c_row, int64_t n,
                               int add) {
  int64_t j = 0;
  for (; j + 2 * GW_LANES <= n; j += 2 * GW_LANES)
    gw_tile_of(GW_ATTEND_ROWS, 2, depth, a, row, step, b + j, b_row, c + j, c_row, add);
  for (; j < n; j += GW_LANES)
    gw_tile_of(GW_ATTEND_ROWS, 1, depth, a, row, step, b + j, b_row, c + j, c_row, add);
}

/* s = a b, a and b packed. reach: with causality, row i sees reach + i + 1 keys of the block; no
 * strip makes, or reads, many more. */
static void gw_attend_scores(int64_t rows, int64_t reach, int64_t depth, const float* a,
                             const float* b, int64_t n, float* s) {
  for (int64_t i = 0; i < rows; i += GW_ATTEND_ROWS) {
    int64_t most = GW_MIN(n, gw_attend_padded(GW_MAX(reach + i + GW_ATTEND_ROWS, 0), GW_WIDE));
    gw_attend_strip(depth, a + i * depth, depth, 1, b, n, s + i * n, n, most, 0);
  }
}

/* c[i] (+)= s[i] b over keys: for results of queries. */
static void gw_attend_gather(int64_t rows, int64_t reach, int64_t keys, const float* s,
                             int64_t s_row, const float* b, int64_t wide, float* c, int add) {
  for (int64_t i = 0; i < rows; i += GW_ATTEND_ROWS) {
    int64_t most = GW_MIN(keys, GW_MAX(reach + i + GW_ATTEND_ROWS, 0));
    gw_attend_strip(most, s + i * s_row, s_row, 1, b, wide, c + i * wide, wide, wide, add);
  }
}

/* c[j] += sum over rows of s[.][j] b: for results of keys. */
static void gw_attend_spread(int64_t rows, int64_t reach, int64_t keys, const float* s,
                             int64_t s_row, const float* b, int64_t wide, float* c) {
  for (int64_t j = 0; j < keys; j += GW_ATTEND_ROWS) {
    int64_t from = GW_MIN(GW_MAX(j - reach, 0), rows);
    gw_attend_strip(rows - from, s + from * s_row + j, 1, s_row, b + from * wide, wide,
                    c + j * wide, wide, wide, 1);
  }
}

/* Rows of x times scale. By vectors: a call of memcpy takes longer than a row. */
GW_INLINE void gw_attend_copy(const float* restrict x, int64_t row, int64_t rows, int64_t count,
                              float scale, float* restrict out, int64_t out_row) {
  const GwVector by = gw_all(scale);
  for (int64_t i = 0; i < rows; i++, x += row, out += out_row) {
    int64_t j = 0;
    for (; j + GW_LANES <= count; j += GW_LANES) {
      GwVector v = gw_load(x + j) * by;
      GW_HOLD(v); /* or compilers see a copy, and call memcpy */
      gw_store(out + j, v);
    }
    for (; j < count; j++) out[j] = x[j] * scale;
  }
}

/* Rows of x times scale, padded with zeros to [height][wide]. */
static void gw_attend_pack(const float* x, int64_t row, int64_t rows, int64_t count, float scale,
                           int64_t height, int64_t wide, float* out) {
  gw_attend_copy(x, row, rows, count, scale, out, wide);
  for (int64_t i = 0; i < rows && count < wide; i++)
    for (int64_t j = count; j < wide; j++) out[i * wide + j] = 0;
  memset(out + rows * wide, 0, (size_t)((height - rows) * wide) * sizeof(float));
}

/* Up to `keys` rows of x turned round: [deep][wide], padded with zeros. */
static void gw_attend_turn(const float* x, int64_t row, int64_t keys, int64_t count, int64_t deep,
                           int64_t wide, float* out) {
  int64_t whole = keys / 8 * 8, full = count / 8 * 8;
  for (int64_t i = 0; i < whole; i += 8)
    for (int64_t j = 0; j < full; j += 8)
      gw_turn(x + i * row + j, row, out + j * wide + i, wide);
  for (int64_t j = 0; j < count; j++) {
    for (int64_t i = j < full ? whole : 0; i < keys; i++) out[j * wide + i] = x[i * row + j];
    for (int64_t i = keys; i < wide; i++) out[j * wide + i] = 0;
  }
  memset(out + count * wide, 0, (size_t)((deep - count) * wide) * sizeof(float));
}

/* All keys in blocks of GW_ATTEND_KEYS, each turned round: [deep][its keys, padded]. */
static void gw_attend_keys(const float* x, int64_t row, int64_t keys, int64_t count, int64_t deep,
                         float* out) {
  for (int64_t j = 0; j < keys; j += GW_ATTEND_KEYS) {
    int64_t some = GW_MIN(GW_ATTEND_KEYS, keys - j), wide = gw_attend_padded(some, GW_WIDE);
    gw_attend_turn(x + j * row, row, some, count, deep, wide, out + j * deep);
  }
}

/* How many of `some` keys from `key` on row `i` may see at all. */
static inline int64_t gw_attend_seen(const GwAttention* t, int64_t i, int64_t key, int64_t some) {
  return t->causal ? GW_MIN(some, GW_MAX(i + 1 - key, 0)) : some;
}

/* The mask put on n scores of a row. */
static void gw_attend_mask(const GwAttention* t, const GwHead* head, int64_t i, int64_t key,
                           int64_t n, float* s) {
  if (t->masked == 1) {
    const uint8_t* m = (const uint8_t*)head->mask + i * t->m_row + key * t->m_key;
    for (int64_t j = 0; j < n; j++) s[j] = m[j * t->m_key] ? s[j] : -INFINITY;
  } else if (t->masked == 2) {
    const float* m = (const float*)head->mask + i * t->m_row + key * t->m_key;
    for (int64_t j = 0; j < n; j++) s[j] += m[j * t->m_key];
  }
}

/* What dropout multiplies n weights of a row by. */
static void gw_attend_drop(const GwAttention* t, const GwHead* head, int64_t i, int64_t key,
                           int64_t n, float* out) {
  uint64_t at = head->first + (uint64_t)(i * t->keys + key);
  uint32_t words[GW_PHILOX_WORDS];
  for (int64_t j = 0, skip = (int64_t)(at % 4); j < n; skip = 0) {
    gw_philox(head->seed, head->step, t->draw, (uint32_t)((at + (uint64_t)j) / 4), words);
    for (int64_t l = skip; l < GW_PHILOX_WORDS && j < n; l++, j++)
      out[j] = words[l] >= t->least ? t->kept : 0;
  }
}

#if defined(GW_WIDEST)
#define gw_attend_larger(a, b) _mm512_max_ps(a, b)
#elif defined(__AVX2__)
#define gw_attend_larger(a, b) _mm256_max_ps(a, b)
#else
static inline GwVector gw_attend_larger(GwVector a, GwVector b) {
  for (int l = 0; l < GW_LANES; l++) a[l] = a[l] > b[l] ? a[l] : b[l];
  return a;
}
#endif

/* The largest of n numbers, and the sum of n: n is a multiple of GW_WIDE, which is how many partial
 * results there are on every processor; they are halved down to one. */
static inline float gw_attend_top(const float* s, int64_t n) {
  GwVector tops[GW_WIDE / GW_LANES];
  float last[GW_WIDE];
  for (int l = 0; l < GW_WIDE / GW_LANES; l++) tops[l] = gw_load(s + l * GW_LANES);
  for (int64_t j = GW_WIDE; j < n; j += GW_WIDE)
    for (int l = 0; l < GW_WIDE / GW_LANES; l++)
      tops[l] = gw_attend_larger(gw_load(s + j + l * GW_LANES), tops[l]);
#pragma GCC unroll 4
  for (int h = GW_WIDE / GW_LANES / 2; h; h /= 2)
#pragma GCC unroll 4
    for (int l = 0; l < h; l++) tops[l] = gw_attend_larger(tops[l], tops[l + h]);
  gw_store(last, tops[0]);
#pragma GCC unroll 4
  for (int h = GW_LANES / 2; h; h /= 2)
#pragma GCC unroll 8
    for (int l = 0; l < h; l++) last[l] = GW_MAX(last[l], last[l + h]);
  return last[0];
}

static inline float gw_attend_sum(const float* s, int64_t n) {
  GwVector sums[GW_WIDE / GW_LANES];
  float last[GW_WIDE];
  for (int l = 0; l < GW_WIDE / GW_LANES; l++) sums[l] = gw_load(s + l * GW_LANES);
  for (int64_t j = GW_WIDE; j < n; j += GW_WIDE)
    for (int l = 0; l < GW_WIDE / GW_LANES; l++) sums[l] += gw_load(s + j + l * GW_LANES);
#pragma GCC unroll 4
  for (int h = GW_WIDE / GW_LANES / 2; h; h /= 2)
#pragma GCC unroll 4
    for (int l = 0; l < h; l++) sums[l] += sums[l + h];
  gw_store(last, sums[0]);
#pragma GCC unroll 4
  for (int h = GW_LANES / 2; h; h /= 2)
#pragma GCC unroll 8
    for (int l = 0; l < h; l++) last[l] += last[l + h];
  return last[0];
}

/* Rows of a block: the largest score so far and the sum of weights, what is taken from its scores,
 * what earlier results are to be multiplied by. */
typedef struct {
  float top[GW_ATTEND_KEYS], sum[GW_ATTEND_KEYS], base[GW_ATTEND_KEYS], before[GW_ATTEND_KEYS];
} GwRows;

/* The mask put on scores of rows i.. over one block of keys, and what the block changes in w. */
static void gw_attend_tops(const GwAttention* t, const GwHead* head, int64_t i, int64_t rows,
                           int64_t key, int64_t some, float* s, int64_t wide, GwRows* w) {
  for (int64_t r = 0; r < rows; r++, s += wide) {
    int64_t n = gw_attend_seen(t, i + r, key, some), most = gw_attend_padded(n, GW_WIDE);
    if (t->masked) gw_attend_mask(t, head, i + r, key, n, s);
    for (int64_t j = n; j < most; j++) s[j] = -INFINITY;
    float top = w->top[r], best = n ? GW_MAX(top, gw_attend_top(s, most)) : top;
    w->base[r] = best == -INFINITY ? 0 : best;
    w->before[r] = top == -INFINITY ? 0 : top - w->base[r];
    w->top[r] = best;
  }
  for (int64_t r = 0; r < rows; r++) w->before[r] = gw_exp(w->before[r]);
}

/* Weights of rows over one block of keys, in place, zeros behind them. */
static void gw_attend_weigh(const GwAttention* t, int64_t i, int64_t rows, int64_t key,
                            int64_t some, float* s, int64_t wide, GwRows* w) {
  for (int64_t r = 0; r < rows; r++, s += wide) {
    int64_t most = gw_attend_padded(gw_attend_seen(t, i + r, key, some), GW_WIDE);
    const float base = w->base[r];
    for (int64_t j = 0; j < most; j += GW_WIDE)
      for (int l = 0; l < GW_WIDE; l++) s[j + l] = gw_exp(s[j + l] - base);
    w->sum[r] = w->sum[r] * w->before[r] + (most ? gw_attend_sum(s, most) : 0);
    for (int64_t j = most; j < wide; j += GW_WIDE)
      for (int l = 0; l < GW_WIDE; l++) s[j + l] = 0;
  }
}

static void gw_attend_thin(const GwAttention* t, const GwHead* head, int64_t i, int64_t rows,
                           int64_t key, int64_t some, float* s, int64_t wide) {
  float drop[GW_ATTEND_KEYS];
  for (int64_t r = 0; r < rows; r++, s += wide) {
    int64_t n = gw_attend_seen(t, i + r, key, some);
    gw_attend_drop(t, head, i + r, key, n, drop);
    for (int64_t j = 0; j < n; j++) s[j] *= drop[j];
  }
}

/* Memory of a head: a block of queries, all keys packed, a block of scores, its results. */
typedef struct {
  float *q, *k, *v, *s, *o;
} GwForward;

/* y and lse of rows i.. from sums of weighted values. */
static void gw_attend_finish(const GwAttention* t, int64_t rows, const GwRows* w,
                             const float* restrict from, float* restrict y, float* restrict lse) {
  const int64_t broad = t->broad, wide = t->wide, row = t->y_row;
  for (int64_t r = 0; r < rows; r++) {
    const float share = w->sum[r] == 0 ? 0 : 1 / w->sum[r];
    for (int64_t c = 0; c < wide; c++) y[r * row + c] = from[r * broad + c] * share;
  }
  for (int64_t r = 0; r < rows; r++)
    lse[r] = (w->top[r] == -INFINITY ? 0 : w->top[r]) + gw_log(w->sum[r]);
}

/* y and lse of rows first..last of one head. */
static void gw_attend_rows(const GwAttention* t, const GwHead* head, const float* q, float* y,
                           float* lse, int64_t first, int64_t last, const GwForward* w) {
  GwRows has;
  for (int64_t i = first; i < last; i += t->block) {
    int64_t rows = GW_MIN(t->block, last - i), height = gw_attend_padded(rows, GW_ATTEND_ROWS);
    gw_attend_pack(q + i * t->q_row, t->q_row, rows, t->depth, t->scale, height, t->deep, w->q);
    for (int64_t r = 0; r < rows; r++) has.top[r] = -INFINITY, has.sum[r] = 0;
    int64_t end = t->causal ? GW_MIN(t->keys, i + rows) : t->keys;
    for (int64_t j = 0; j < end; j += GW_ATTEND_KEYS) {
      int64_t some = GW_MIN(GW_ATTEND_KEYS, t->keys - j), wide = gw_attend_padded(some, GW_WIDE);
      int64_t reach = t->causal ? i - j : t->keys;
      gw_attend_scores(height, reach, t->deep, w->q, w->k + j * t->deep, wide, w->s);
      gw_attend_tops(t, head, i, rows, j, some, w->s, wide, &has);
      gw_attend_weigh(t, i, rows, j, some, w->s, wide, &has);
      if (t->kept > 0) gw_attend_thin(t, head, i, rows, j, some, w->s, wide);
      for (int64_t r = 0; r < rows && j > 0; r++)
        for (int64_t c = 0; c < t->broad && has.before[r] != 1; c++)
          w->o[r * t->broad + c] *= has.before[r];
      gw_attend_gather(height, reach, some, w->s, wide, w->v + j * t->broad, t->broad, w->o,
                       j > 0);
    }
    gw_attend_finish(t, rows, &has, w->o, y + i * t->y_row, lse + i);
  }
}

void gw_attend(const GwAttention* t, const GwHead* head, const float* q, const float* k,
               const float* v, float* y, float* lse, int64_t first, int64_t last,
               float* work) {
  int64_t end = t->causal ? GW_MIN(t->keys, last + GW_ATTEND_ROWS) : t->keys;
  GwForward w;
  w.q = work;
  w.k = w.q + t->block * t->deep;
  w.v = w.k + gw_attend_padded(t->keys, GW_WIDE) * t->deep;
  w.s = w.v + gw_attend_padded(t->keys, GW_WIDE) * t->broad;
  w.o = w.s + t->block * GW_ATTEND_KEYS;
  gw_attend_keys(k, t->k_row, t->keys, t->depth, t->deep, w.k);
  gw_attend_pack(v, t->v_row, end, t->wide, 1, end, t->broad, w.v);
  gw_attend_rows(t, head, q, y, lse, first, last, &w);
}

int64_t gw_attention_split(const GwAttention* t, float* work, GwBackward* w) {
  int64_t keys = gw_attend_padded(t->keys, GW_WIDE) + GW_ATTEND_ROWS;
  int64_t rows = gw_attend_padded(t->rows, GW_ATTEND_ROWS), tile = t->block * GW_ATTEND_KEYS;
  int64_t sizes[] = {keys * t->deep, keys * t->broad, keys * t->deep, keys * t->deep,
                     keys * t->broad, rows * t->deep, rows * t->broad, rows * t->deep,
                     gw_attend_padded(rows, GW_WIDE), tile, tile};
  float** parts[] = {&w->kt, &w->vt, &w->k, &w->into_k, &w->into_v, &w->q, &w->g, &w->into_q,
                     &w->level, &w->s, &w->p};
  int64_t total = 0;
  for (int i = 0; i < 11; total += sizes[i++]) *parts[i] = work + total;
  return total;
}

/* Weights and slopes of a row over one block of keys: s becomes the weights after dropout, p, which
 * comes as g vᵀ, what flows into the scores. Zeros behind those that are seen. */
static void gw_attend_slope(const GwAttention* t, const GwHead* head, int64_t i, int64_t key,
                         int64_t some, float lse, float level, float* restrict s,
                         float* restrict p) {
  int64_t n = gw_attend_seen(t, i, key, some), wide = gw_attend_padded(some, GW_WIDE);
  if (t->masked) gw_attend_mask(t, head, i, key, n, s);
  const float base = lse == -INFINITY ? 0 : lse;
  if (t->kept > 0) {
    float drop[GW_ATTEND_KEYS];
    gw_attend_drop(t, head, i, key, n, drop);
    for (int64_t j = 0; j < n; j++) {
      const float e = gw_exp(s[j] - base);
      p[j] = e * (p[j] * drop[j] - level);
      s[j] = e * drop[j];
    }
  } else {
    for (int64_t j = 0; j < n; j++) {
      const float e = gw_exp(s[j] - base);
      p[j] = e * (p[j] - level);
      s[j] = e;
    }
  }
  for (int64_t j = n; j < wide; j++) s[j] = p[j] = 0;
}

static inline float gw_attend_dot(const float* restrict a, const float* restrict b, int64_t n) {
  float sums[GW_WIDE] = {0};
  int64_t j = 0;
  for (; j + GW_WIDE <= n; j += GW_WIDE)
    for (int l = 0; l < GW_WIDE; l++) sums[l] += a[j + l] * b[j + l];
  for (int l = 0; j + l < n; l++) sums[l] += a[j + l] * b[j + l];
  for (int h = GW_WIDE / 2; h; h /= 2)
    for (int l = 0; l < h; l++) sums[l] += sums[l + h];
  return sums[0];
}

/* Keys packed, and room for what flows into them cleared. */
void gw_back_keys(const GwAttention* t, const float* k, const float* v, GwBackward* w) {
  int64_t padded = gw_attend_padded(t->keys, GW_WIDE);
  gw_attend_keys(k, t->k_row, t->keys, t->depth, t->deep, w->kt);
  gw_attend_keys(v, t->v_row, t->keys, t->wide, t->broad, w->vt);
  gw_attend_pack(k, t->k_row, t->keys, t->depth, t->scale, padded, t->deep, w->k);
  memset(w->into_k, 0, (size_t)((padded + GW_ATTEND_ROWS) * t->deep) * sizeof(float));
  memset(w->into_v, 0, (size_t)((padded + GW_ATTEND_ROWS) * t->broad) * sizeof(float));
}

/* One query head: adds to what flows into its keys, and writes what flows into q. */
void gw_back_head(const GwAttention* t, const GwHead* head, const float* q, const float* g,
                  const float* y, const float* lse, float* into_q, GwBackward* w) {
  int64_t height = gw_attend_padded(t->rows, GW_ATTEND_ROWS);
  gw_attend_pack(q, t->q_row, t->rows, t->depth, t->scale, height, t->deep, w->q);
  gw_attend_pack(g, t->g_row, t->rows, t->wide, 1, height, t->broad, w->g);
  for (int64_t i = 0; i < t->rows; i++) {
    w->level[i] = gw_attend_dot(w->g + i * t->broad, y + i * t->y_row, t->wide);
  }
  for (int64_t j = 0; j < t->keys; j += GW_ATTEND_KEYS) {
    int64_t some = GW_MIN(GW_ATTEND_KEYS, t->keys - j), wide = gw_attend_padded(some, GW_WIDE);
    for (int64_t i = 0; i < t->rows; i += t->block) {
      int64_t rows = GW_MIN(t->block, t->rows - i), tall = gw_attend_padded(rows, GW_ATTEND_ROWS);
      if (t->causal && i + rows <= j) continue;
      int64_t reach = t->causal ? i - j : t->keys;
      gw_attend_scores(tall, reach, t->deep, w->q + i * t->deep, w->kt + j * t->deep, wide, w->s);
      gw_attend_scores(tall, reach, t->broad, w->g + i * t->broad, w->vt + j * t->broad, wide,
                       w->p);
      for (int64_t r = 0; r < rows; r++)
        gw_attend_slope(t, head, i + r, j, some, lse[i + r], w->level[i + r], w->s + r * wide,
                     w->p + r * wide);
      gw_attend_spread(rows, reach, some, w->s, wide, w->g + i * t->broad, t->broad,
                       w->into_v + j * t->broad);
      gw_attend_spread(rows, reach, some, w->p, wide, w->q + i * t->deep, t->deep,
                       w->into_k + j * t->deep);
      gw_attend_gather(tall, reach, some, w->p, wide, w->k + j * t->deep, t->deep,
                       w->into_q + i * t->deep, j > 0);
    }
  }
  gw_attend_copy(w->into_q, t->deep, t->rows, t->depth, 1, into_q, t->dq_row);
}

void gw_back_done(const GwAttention* t, float* into_k, float* into_v, const GwBackward* w) {
  gw_attend_copy(w->into_k, t->deep, t->keys, t->depth, 1, into_k, t->dk_row);
  gw_attend_copy(w->into_v, t->broad, t->keys, t->wide, 1, into_v, t->dv_row);
}
#endif
#endif

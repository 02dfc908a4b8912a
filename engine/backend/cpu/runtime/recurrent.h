/* Recurrences over time for some rows of a batch. Rows do not know each other, so parts of a batch
 * run side by side without waiting, and no sum depends on how they are cut. */
#ifndef GW_RECURRENT_H
#define GW_RECURRENT_H
#include <string.h>
#include "vectors.h"

enum { GW_TANH, GW_RELU, GW_GRU, GW_LSTM };

/* Gates of the weights, and blocks of columns that a step keeps. */
#define GW_BLOCKS(CELL) ((CELL) == GW_LSTM ? 4 : (CELL) == GW_GRU ? 3 : 1)
#define GW_KEPT(CELL) ((CELL) >= GW_GRU ? 4 : 1)

/* Pointers are to the first row of a part. features: of x, or 0 where `kept` holds the products
 * with x already. ends: how many steps each row has, or null. */
typedef struct {
  int64_t rows, steps, features, hidden, reverse;
  const int64_t* ends;
  const float *x, *panels, *h0, *c0;
  float *y, *h_n, *c_n, *before, *kept, *cells, *work;
} GwRecurrence;

/* total: the sum of `flow` over the rows and steps of the part. */
typedef struct {
  int64_t rows, steps, hidden, reverse;
  const int64_t* ends;
  const float *g_y, *g_h, *g_c, *panels, *kept, *before, *c0, *cells;
  float *flow, *d_h, *d_c, *work;
  double* total;
} GwRecurrenceBack;

/* The weights of one step; some units of them, as one of so many parts. */
typedef struct {
  int64_t features, hidden;
  const float *w_ih, *w_hh, *b_ih, *b_hh;
} GwStepWeights;

/* As gw_recurrent_forward and gw_recurrent_backward read them. */
GW_SHARED void gw_pack_step(int cell, const GwStepWeights* w, int64_t part, int64_t parts,
                            float* panels);
GW_SHARED void gw_pack_back(int cell, int64_t hidden, const float* w_hh, int64_t part,
                            int64_t parts, float* panels);

/* work: three times [rows, hidden]. */
GW_SHARED void gw_recurrent_forward(int cell, const GwRecurrence* r);
/* work: [rows, hidden in whole GW_WIDE + blocks * hidden + 16 + hidden], and [kept * hidden]. */
GW_SHARED void gw_recurrent_backward(int cell, const GwRecurrenceBack* r);

#ifdef GW_LIBRARY
#include "recurrent_back.h"
#include "recurrent_step.h"
#endif
#endif

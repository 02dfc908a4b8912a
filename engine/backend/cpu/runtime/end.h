/* What becomes of the elements of a product when they are made. */
#ifndef GW_END_H
#define GW_END_H
#include "vectors.h"

/* What becomes of an element: it is added to what is there, or not; in the end a bias is added, where
 * there is one, and what is below 0 becomes 0. */
typedef struct {
  int add, relu;
  const float* bias;
} GwEnd;

/* The same from column j on. */
GW_INLINE GwEnd gw_end_from(GwEnd end, int64_t j) {
  if (end.bias) end.bias += j;
  return end;
}

/* The end of a block of depth that begins at k. */
GW_INLINE GwEnd gw_end_of(int64_t k, int last, const float* bias, int relu) {
  return (GwEnd){k > 0, last && relu, last ? bias : 0};
}

/* The end of elements that are made: but for the sum with what was there. */
static void gw_end_now(int64_t rows, int64_t columns, float* c, int64_t c_row, GwEnd end) {
  for (int64_t i = 0; i < rows && (end.bias || end.relu); i++, c += c_row) {
    for (int64_t j = 0; j < columns && end.bias; j++) c[j] += end.bias[j];
    for (int64_t j = 0; j < columns && end.relu; j++) c[j] = c[j] < 0 ? 0 : c[j];
  }
}
#endif

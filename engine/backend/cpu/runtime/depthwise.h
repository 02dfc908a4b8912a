/* One channel of an image with what windows see around it. */
#ifndef GW_DEPTHWISE_H
#define GW_DEPTHWISE_H
#include "vectors.h"

GW_SHARED void gw_padded(const float* x, const int64_t* size, const int64_t* origin,
                         const int64_t* extent, float* out);

#ifdef GW_LIBRARY
/* out[extent], place q of which is place q + origin of the source, or 0 outside it. */
void gw_padded(const float* x, const int64_t* size, const int64_t* origin,
               const int64_t* extent, float* out) {
  int64_t low = GW_MIN(extent[2], GW_MAX(0, -origin[2]));
  int64_t high = GW_MAX(low, GW_MIN(extent[2], size[2] - origin[2]));
  for (int64_t a = 0; a < extent[0]; a++)
    for (int64_t b = 0; b < extent[1]; b++, out += extent[2]) {
      int64_t z = a + origin[0], y = b + origin[1];
      if (z < 0 || z >= size[0] || y < 0 || y >= size[1]) {
        memset(out, 0, (size_t)extent[2] * sizeof(float));
        continue;
      }
      const float* from = x + (z * size[1] + y) * size[2] + origin[2];
      for (int64_t i = 0; i < low; i++) out[i] = 0;
      for (int64_t i = low; i < high; i++) out[i] = from[i];
      for (int64_t i = high; i < extent[2]; i++) out[i] = 0;
    }
}
#endif
#endif

/* Convolutions, for the kernels of all libraries. */
#define GW_LIBRARY
#define GW_FURTHER
#define GW_MASKS
#include "gradworks.h"
#include "conv.h"
#include "flat.h"
#include "winograd.h"

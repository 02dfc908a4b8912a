/* Products, attention and random words, for the kernels of all libraries. */
#define GW_LIBRARY
#define GW_FURTHER
#include "gradworks.h"
#include "attention.h"
#include "depthwise.h"
#include "gemm.h"
#include "philox.h"

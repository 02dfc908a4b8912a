"""Products of which only some elements are wanted."""

import ctypes
from functools import cache

import numpy as np
import pytest

import engine
from engine.backend.cpu import toolchain
from engine.backend.cpu.products import fused_product
from engine.compile.plan import make_plan
from engine.ir.graph import Graph
from engine.ir.passes.differentiate import differentiate
from engine.ir.passes.fuse import fuse
from engine.ir.passes.simplify import simplify
from engine.ir.passes.sparse import mark_sparse
from engine.tensor import Tensor
from tests.engine.backend.cpu.programs import (
    close,
    compiler,
    interpreted,
    of_function,
    run,
    widened,
)

SOURCE = """
#define GW_LIBRARY
#define GW_MASKS
#include "intrinsics.h"
#include "gradworks.h"
#undef GW_SHARED
#define GW_SHARED static
#include "gemm.h"
#define GIVEN int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c
int can_choose(void) {
#ifdef GW_CHOOSES
  return 1;
#else
  return 0;
#endif
}
#ifdef GW_CHOOSES
int chosen(GIVEN) { return gw_gemm_chosen(m, n, k, a, k, 1, b, n, 1, c, n, c, n, 1); }
#endif
void sparse(GIVEN) { gw_gemm_sparse(m, n, k, a, k, 1, b, n, 1, c, n, 0, 0, 1); }
"""


@cache
def library() -> ctypes.CDLL:
    found = toolchain.load(compiler(), SOURCE)
    if not found.can_choose():
        pytest.skip("this processor has no registers for it")
    return found


def call(name: str, a: np.ndarray, b: np.ndarray, wanted: np.ndarray) -> tuple[int, np.ndarray]:
    c = wanted.astype(np.float32)
    sizes = (a.shape[0], b.shape[1], a.shape[1])
    done = getattr(library(), name)(
        *map(ctypes.c_int64, sizes), *(ctypes.c_void_p(x.ctypes.data) for x in (a, b, c))
    )
    return done, c


def given(shape: tuple[int, int, int], share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two matrices, and which elements of their product are wanted: so large a share of them."""
    rows, columns, depth = shape
    draw = np.random.default_rng(rows)
    a = draw.standard_normal((rows, depth), np.float32)
    b = draw.standard_normal((depth, columns), np.float32)
    return a, b, draw.uniform(size=(rows, columns)) < share


SHAPES = [
    (16, 32, 96),
    (16, 1, 128),
    (33, 47, 100),
    (64, 256, 256),
    (129, 65, 257),
    (20, 70, 513),
    (17, 40, 4097),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_what_is_wanted_is_made_and_the_rest_is_0(
    shape: tuple[int, int, int], share: float
) -> None:
    a, b, wanted = given(shape, share)
    done, found = call("chosen", a, b, wanted)
    assert done
    assert not found[~wanted].any()
    close(found[wanted], (a.astype(np.float64) @ b)[wanted].astype(np.float32))


@pytest.mark.parametrize("shape", [(64, 256, 256), (64, 256, 64), (8, 64, 256)])
def test_where_most_is_wanted_or_little_to_gain_all_is_made(shape: tuple[int, int, int]) -> None:
    a, b, wanted = given(shape, 0.8 if shape[0] * shape[2] > 8_192 else 0.1)
    done, found = call("chosen", a, b, wanted)
    assert not done
    np.testing.assert_array_equal(found, call("sparse", a, b, wanted)[1])


def test_where_the_left_matrix_has_more_zeros_these_are_left_out() -> None:
    a, b, wanted = given((64, 128, 256), 0.5)
    a[np.random.default_rng(1).uniform(size=a.shape) < 0.8] = 0
    done, found = call("chosen", a, b, wanted)
    assert not done
    np.testing.assert_array_equal(found, call("sparse", a, b, wanted)[1])


def test_what_is_not_finite_reaches_only_what_is_wanted() -> None:
    a, b, wanted = given((64, 96, 200), 0.5)
    a[5, 3], b[7, 11] = np.nan, np.inf
    done, found = call("chosen", a, b, wanted)
    assert done
    assert not found[~wanted].any()
    assert np.isnan(found[5][wanted[5]]).all()
    assert not np.isfinite(found[:, 11][wanted[:, 11]]).any()
    clean = np.delete(np.delete(found, 5, 0), 11, 1)
    assert np.isfinite(clean).all()


def layers(x: Tensor, first: Tensor, shift: Tensor, second: Tensor) -> Tensor:
    inside = (x @ first + shift).relu()
    return engine.sum((inside @ engine.transpose(second, 0, 1)) ** 2.0)


def learning(shape: tuple[int, int, int], share: float) -> list[np.ndarray]:
    """What `layers` take, of so many rows, units and outputs; of the units, which are not 0."""
    rows, units, outputs = shape
    x, first, wanted = given((rows, units, 20), share)
    second = given((outputs, 1, units), share)[0]
    return [x, first, np.where(wanted, 9, -90).astype(np.float32), second]


def slope_of(arrays: list[np.ndarray]) -> Graph:
    """With the gradient of the first weights."""
    return fuse(mark_sparse(simplify(differentiate(of_function(layers, arrays), [1]))))


def products_of(graph: Graph) -> list[str]:
    launches = make_plan(graph).launches
    kernels = [fused_product(x) for x in launches if x.name == "fused_product"]
    return [kernel.phases[0].body for kernel in kernels if kernel is not None]


def check(arrays: list[np.ndarray]) -> None:
    graph, wide = slope_of(arrays), widened(arrays)
    for found, expected in zip(run(graph, arrays), interpreted(slope_of(wide), wide), strict=True):
        close(found, expected)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_slope_of_a_relu_leaves_out_what_it_makes_0(share: float) -> None:
    arrays = learning((256, 150, 130), share)
    assert sum("gw_gemm_chosen" in body for body in products_of(slope_of(arrays))) == 1
    check(arrays)


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_sums_of_few_products_are_made_where_they_are_wanted(outputs: int) -> None:
    arrays = learning((70, 45, outputs), 0.5)
    bodies = products_of(slope_of(arrays))
    assert any("fmaf(p0" in body and "gw_gemm" not in body for body in bodies)
    check(arrays)

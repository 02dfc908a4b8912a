"""Products that leave zeros out: the bits of those that do not."""

import ctypes
import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest

from engine.backend.cpu import toolchain
from tests.engine.backend.cpu.programs import compiler

SOURCE = """
#define GW_LIBRARY
#include "intrinsics.h"
#include "gradworks.h"
#undef GW_SHARED
#define GW_SHARED static
#include "gemm.h"
int can_leave_out(void) {
#ifdef GW_SPARSE
  return 1;
#else
  return 0;
#endif
}
#define GIVEN int64_t m, int64_t n, int64_t k, const float* a, int64_t ar, int64_t as, \\
              const float* b, int64_t br, int64_t bs, float* c
void dense(GIVEN) { gw_gemm(m, n, k, a, ar, as, b, br, bs, c, n, 0, 0); }
int sparse(GIVEN) {
  return gw_sparse(m, n, k, gw_evenly(k, GW_DEPTH, 8), a, ar, as, b, br, bs, c, n, 0, 0, 3);
}
void either(GIVEN) { gw_gemm_sparse(m, n, k, a, ar, as, b, br, bs, c, n, 0, 0, 3); }
void ended(GIVEN, const float* bias, int relu) {
  gw_gemm_sparse(m, n, k, a, ar, as, b, br, bs, c, n, bias, relu, 3);
}
"""


@cache
def library() -> ctypes.CDLL:
    found = toolchain.load(compiler(), SOURCE)
    if not found.can_leave_out():
        pytest.skip("this processor has no vectors for it")
    return found


def call(name: str, a: np.ndarray, b: np.ndarray, *further: Any) -> tuple[int, np.ndarray]:
    (rows, depth), columns = a.shape, b.shape[1]
    c = np.full((rows, columns), 7, np.float32)
    matrices: list[int] = []
    for matrix in (a, b):
        matrices += [matrix.ctypes.data, *(stride // 4 for stride in matrix.strides)]
    done = getattr(library(), name)(
        *map(ctypes.c_int64, (rows, columns, depth)),
        *(ctypes.c_int64(number) for number in matrices),
        ctypes.c_void_p(c.ctypes.data),
        *further,
    )
    return done, c


def matrix(rows: int, columns: int, *, zeros: float, turned: bool, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    shape = (columns, rows) if turned else (rows, columns)
    found = draw.standard_normal(shape, np.float32)
    found[draw.uniform(size=shape) < zeros] = 0
    return found.T if turned else found


SHAPES = [
    (16, 64, 32),
    (64, 128, 64),
    (77, 133, 300),
    (129, 200, 65),
    (300, 72, 700),
    (513, 96, 40),
    (64, 256, 256),
    (48, 275, 100),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("zeros", [(0.5, 0.0), (0.0, 0.6), (0.9, 0.9), (1.0, 0.0)])
def test_no_bit_is_another(shape: tuple[int, int, int], zeros: tuple[float, float]) -> None:
    rows, columns, depth = shape
    if not zeros[0] and rows < 64:
        rows = 64  # where zeros of the right one are left out, rows are its columns
    for first, second in itertools.product((False, True), repeat=2):
        a = matrix(rows, depth, zeros=zeros[0], turned=first, seed=1)
        b = matrix(depth, columns, zeros=zeros[1], turned=second, seed=2)
        done, found = call("sparse", a, b)
        assert done
        expected = call("dense", a, b)[1]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(call("either", a, b)[1], expected)


def test_full_matrices_are_left_to_the_dense_product() -> None:
    a = matrix(64, 80, zeros=0.1, turned=False, seed=1)
    b = matrix(80, 96, zeros=0.0, turned=False, seed=2)
    assert not call("sparse", a, b)[0]
    np.testing.assert_array_equal(call("either", a, b)[1], call("dense", a, b)[1])


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("side", [0, 1])
def test_a_zero_times_what_is_not_finite_is_no_number(bad: float, side: int) -> None:
    a = matrix(64, 150, zeros=0.5 * (side == 0), turned=False, seed=1)
    b = matrix(150, 96, zeros=0.5 * (side == 1), turned=False, seed=2)
    (b if side == 0 else a)[63, 37] = bad
    with np.errstate(invalid="ignore"):
        expected = a @ b
    found = call("either", a, b)[1]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.isnan(found).any()
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))


def test_what_is_not_finite_beside_zeros_is_passed_on() -> None:
    a = matrix(64, 80, zeros=0.5, turned=False, seed=1)
    a[3, 5], a[9, 70] = np.nan, np.inf
    b = matrix(80, 96, zeros=0.0, turned=False, seed=2)
    done, found = call("sparse", a, b)
    assert done
    np.testing.assert_array_equal(found, call("dense", a, b)[1])
    assert np.isnan(found[3]).all()
    assert np.isinf(found[9]).all()


@pytest.mark.parametrize("shape", [*SHAPES, (9, 4, 32), (3, 50, 70), (100, 10, 300), (40, 33, 600)])
@pytest.mark.parametrize("zeros", [0.0, 0.6])
def test_a_bias_and_a_relu_end_any_product(shape: tuple[int, int, int], zeros: float) -> None:
    rows, columns, depth = shape
    bias = np.random.default_rng(3).standard_normal(columns, np.float32)
    for first, second in itertools.product((False, True), repeat=2):
        a = matrix(rows, depth, zeros=zeros, turned=first, seed=1)
        b = matrix(depth, columns, zeros=0.0, turned=second, seed=2)
        plain, given = call("either", a, b)[1], ctypes.c_void_p(bias.ctypes.data)
        for relu in (0, 1):
            for added, pointer in ((0, None), (bias, given)):
                expected = plain + added
                if relu:
                    expected = np.maximum(expected, 0)
                found = call("ended", a, b, pointer, ctypes.c_int(relu))[1]
                np.testing.assert_array_equal(found, expected)


def test_no_number_stays_none_behind_a_relu() -> None:
    a = matrix(64, 80, zeros=0.0, turned=False, seed=1)
    b = matrix(80, 96, zeros=0.0, turned=False, seed=2)
    a[3, 5], a[9, 5] = np.nan, -np.inf
    found = call("ended", a, b, None, ctypes.c_int(1))[1]
    assert np.isnan(found[3]).all()
    assert set(found[9]) <= {0.0, np.inf}
    assert np.isfinite(np.delete(found, (3, 9), 0)).all()

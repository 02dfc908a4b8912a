"""The functions of gates in C, against float64: the errors that their header states."""

import ctypes
import re
from functools import cache

import numpy as np
import pytest

from engine.backend.cpu import toolchain
from tests.engine.backend.cpu.programs import compiler

HEADER = (toolchain.RUNTIME / "gates.h").read_text()
INF = np.inf
FUNCTIONS = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh}


@cache
def library() -> ctypes.CDLL:
    loops = [
        f"void loop_{name}(const float* x, float* y, int64_t n) "
        f"{{ for (int64_t i = 0; i < n; i++) y[i] = gw_gate_{name}(x[i]); }}"
        for name in FUNCTIONS
    ]
    return toolchain.load(compiler(), "\n".join(['#include "gates.h"', *loops]))


def run(name: str, x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    call = getattr(library(), f"loop_{name}")
    call(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_int64(x.size))
    return y


def stated(name: str) -> float:
    """Units in the last place, by the comment above the function."""
    before = HEADER[: HEADER.index(f"static inline float gw_gate_{name}(")]
    comment = before[before.rindex("/*") :]
    return float(re.search(r"(\d+) ulp", comment).group(1))  # type: ignore[union-attr]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_are_no_larger_than_stated(name: str) -> None:
    sizes = np.concatenate([np.geomspace(1.2e-38, 86.9, 60_001), np.linspace(0, 20, 200_003)])
    x = np.concatenate([sizes, -sizes]).astype(np.float32)
    expected = FUNCTIONS[name](x.astype(np.float64))
    unit = np.spacing(np.maximum(np.abs(expected), 1.2e-38).astype(np.float32)).astype(np.float64)
    errors = np.abs(run(name, x).astype(np.float64) - expected) / unit
    worst = int(errors.argmax())
    assert errors[worst] <= stated(name), f"{errors[worst]:.2f} ulp at {x[worst]!r}"


def test_what_is_far_out_ends_at_the_limits() -> None:
    far = np.array([-INF, -1e30, -200.0, 200.0, 1e30, INF], np.float32)
    np.testing.assert_array_equal(run("tanh", far), np.sign(far))
    np.testing.assert_allclose(run("sigmoid", far), far > 0, atol=1e-37)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_stays(name: str) -> None:
    assert np.isnan(run(name, np.full(33, np.nan, np.float32))).all()

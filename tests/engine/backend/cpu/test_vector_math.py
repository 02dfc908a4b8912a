"""The elementary functions of float in C, against float64: the errors that their header states."""

import ctypes
import re
from functools import cache

import numpy as np
import pytest

from engine.backend.cpu import toolchain
from tests.engine.backend.cpu.programs import compiler

HEADER = (toolchain.RUNTIME / "vector_math.h").read_text()
erf = np.vectorize(__import__("math").erf)

#: name -> (the function in float64, lowest and highest argument that is not out of range)
FUNCTIONS = {
    "exp": (np.exp, -87.0, 88.7),
    "log": (np.log, 1e-38, 3e38),
    "tanh": (np.tanh, -12.0, 12.0),
    "erf": (erf, -5.0, 5.0),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -80.0, 30.0),
    "log1p": (np.log1p, -0.9999, 1e30),
    "expm1": (np.expm1, -20.0, 88.0),
    "softplus": (lambda x: np.logaddexp(x, 0.0), -80.0, 90.0),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1e-38, 1e38),
}
NAN, INF = np.nan, np.inf
SPECIALS = {
    "exp": {-INF: 0.0, INF: INF, 0.0: 1.0, 89.0: INF, -110.0: 0.0},
    "log": {0.0: -INF, -1.0: NAN, INF: INF, 1.0: 0.0, 1e-40: np.log(np.float32(1e-40))},
    "tanh": {-INF: -1.0, INF: 1.0, 0.0: 0.0},
    "erf": {-INF: -1.0, INF: 1.0, 0.0: 0.0},
    "sigmoid": {-INF: 0.0, INF: 1.0, 0.0: 0.5},
    "log1p": {0.0: 0.0, -1.0: -INF, INF: INF, -2.0: NAN},
    "expm1": {0.0: 0.0, -INF: -1.0, INF: INF},
    "softplus": {-INF: 0.0, INF: INF},
    "rsqrt": {0.0: INF, INF: 0.0, -1.0: NAN},
}


#: What one function gives together: the C of each, and the function above that it is.
TOGETHER = {"erf_beside": ("gw_erf_bell({0}).erf", "erf"), "bell": ("gw_erf_bell({0}).bell", "")}


@cache
def library() -> ctypes.CDLL:
    calls = {name: f"gw_{name}({{0}})" for name in FUNCTIONS}
    calls |= {name: call for name, (call, _) in TOGETHER.items()}
    loops = [
        f"void loop_{name}(const float* x, float* y, int64_t n) "
        f"{{ for (int64_t i = 0; i < n; i++) y[i] = {call.format('x[i]')}; }}"
        for name, call in calls.items()
    ]
    return toolchain.load(compiler(), "\n".join(['#include "vector_math.h"', *loops]))


def run(name: str, x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    call = getattr(library(), f"loop_{name}")
    call(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_int64(x.size))
    return y


def arguments(low: float, high: float) -> np.ndarray:
    """Evenly over the range, and over its magnitudes from the smallest normal number on."""
    even = np.linspace(low, high, 100_003)
    sizes = np.geomspace(1.2e-38, max(abs(low), abs(high)), 60_001)
    both = np.concatenate([even, sizes, -sizes]).astype(np.float32)
    return both[(both >= np.float32(low)) & (both <= np.float32(high))]


def stated(name: str) -> float:
    """Units in the last place, by the comment above the function."""
    before = HEADER[: re.search(rf"static inline \w+ gw_{name}\(", HEADER).start()]  # type: ignore[union-attr]
    comment = before[before.rindex("/*") :]
    return float(re.search(r"(\d+) ulp", comment).group(1))  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [*FUNCTIONS, "erf_beside"])
def test_errors_are_no_larger_than_stated(name: str) -> None:
    function, low, high = FUNCTIONS[TOGETHER[name][1] if name in TOGETHER else name]
    x = arguments(low, high)
    expected = function(x.astype(np.float64))
    unit = np.spacing(np.maximum(np.abs(expected), 1.2e-38).astype(np.float32)).astype(np.float64)
    errors = np.abs(run(name, x).astype(np.float64) - expected) / unit
    worst = int(errors.argmax())
    most = stated("erf_bell" if name in TOGETHER else name)
    assert errors[worst] <= most, f"{errors[worst]:.2f} ulp at {x[worst]!r}"


def test_the_bell_beside_erf_has_the_bits_of_exp() -> None:
    x = np.concatenate([arguments(-12, 12), np.array([INF, -INF], np.float32)])
    assert run("bell", x).tobytes() == run("exp", -(x * x)).tobytes()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_numbers(name: str) -> None:
    given = np.array([*SPECIALS[name], NAN], np.float32)
    expected = np.array([*SPECIALS[name].values(), NAN], np.float32)
    np.testing.assert_allclose(run(name, given), expected, rtol=1e-6)
    if name == "erf":
        np.testing.assert_allclose(run("erf_beside", given), expected, rtol=1e-6)


@pytest.mark.parametrize("name", [*FUNCTIONS, *TOGETHER])
def test_what_is_not_a_number_stays_so(name: str) -> None:
    """Whatever its lower bits are: exponents are made by shifting them."""
    bits = np.arange(0x7F800001, 0x7F801001, dtype=np.uint32)
    assert np.isnan(run(name, np.concatenate([bits, bits | 0x80000000]).view(np.float32))).all()


def test_erf_never_exceeds_one() -> None:
    x = np.linspace(3, 5, 200_001).astype(np.float32)
    for name in ("erf", "erf_beside"):
        assert np.abs(run(name, np.concatenate([x, -x]))).max() == 1


def test_results_do_not_depend_on_the_place_in_a_vector() -> None:
    """Tails of loops run other instructions than their bodies."""
    x = np.linspace(-3, 3, 257).astype(np.float32)
    for name in ("exp", "tanh", "erf", "sigmoid", "softplus"):
        whole = run(name, x)
        single = np.concatenate([run(name, x[i : i + 1].copy()) for i in range(x.size)])
        assert whole.tobytes() == single.tobytes()

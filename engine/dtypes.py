"""The dtypes, and what two of them become together.

Promotion follows PyTorch: by kind first (bool < integer < float), then by width; `uint64` meets
signed integers in `int64`, `uint8` meets `int8` in `int32`. A Python number never widens a tensor
of its own kind, and an integer tensor meeting a Python float becomes `float32`.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np

from engine.errors import DtypeError

Dtype = np.dtype

float16 = np.dtype("float16")
float32 = np.dtype("float32")
float64 = np.dtype("float64")
int8 = np.dtype("int8")
int32 = np.dtype("int32")
int64 = np.dtype("int64")
uint8 = np.dtype("uint8")
uint32 = np.dtype("uint32")
uint64 = np.dtype("uint64")
bool_ = np.dtype("bool")

DTYPES = (float16, float32, float64, int8, int32, int64, uint8, uint32, uint64, bool_)
_KINDS = {"b": 0, "u": 1, "i": 1, "f": 2}


_NAMED: dict[str, np.dtype] = {kind.name: kind for kind in DTYPES}


def dtype(name: object) -> np.dtype:
    """The dtype called `name`; DtypeError where the engine has none."""
    if isinstance(name, str) and name in _NAMED:
        return _NAMED[name]
    try:
        found: np.dtype = np.dtype(name)  # type: ignore[call-overload]
    except TypeError as error:
        raise DtypeError(f"no dtype is called {name!r}") from error
    if found not in DTYPES:
        known = ", ".join(d.name for d in DTYPES)
        raise DtypeError(f"dtype {found.name} is not supported; the engine has {known}")
    return found


def is_float(kind: np.dtype) -> bool:
    return kind.kind == "f"


@cache
def promote(first: np.dtype, second: np.dtype) -> np.dtype:
    """The dtype in which two tensors meet."""
    if first == second:
        return first
    low, high = sorted((first, second), key=lambda d: _KINDS[d.kind])
    if _KINDS[low.kind] < _KINDS[high.kind]:
        return high
    both: np.dtype = np.promote_types(first, second)
    if both.kind == "f" != high.kind:  # NumPy would take a float for uint64 and int64
        return int64
    return both if both in DTYPES else int32


def of_scalar(value: complex, others: Iterable[np.dtype]) -> np.dtype:
    """The dtype that a Python number takes beside tensors of the dtypes `others`."""
    kind = 0 if isinstance(value, bool) else 1 if isinstance(value, int) else 2
    tensors = list(others)
    if tensors:
        widest = tensors[0]
        for other in tensors[1:]:
            widest = promote(widest, other)
        if _KINDS[widest.kind] >= kind:
            return widest
    return (bool_, int64, float32)[kind]

"""Which array library holds an array: NumPy, or CuPy on a GPU."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def array_module(*arrays: Any) -> Any:
    """`numpy`, or `cupy` where one of the arrays lies on a GPU."""
    for array in arrays:
        if not isinstance(array, np.ndarray | np.generic) and hasattr(array, "device"):
            return sys.modules[type(array).__module__.partition(".")[0]]
    return np

"""Strict loading: everything that does not fit is named before anything changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine import aligned
from engine.errors import StateError
from engine.nn.parameter import Uninitialised
from engine.tensor import Tensor


def load(
    leaves: Mapping[str, Tensor], state: Mapping[str, Any], *, strict: bool, owner: str
) -> None:
    """Copy `state` into `leaves`; StateError names every entry that does not fit."""
    problems = mismatches({name: leaf.type for name, leaf in leaves.items()}, state, strict=strict)
    if problems:
        raise StateError(f"the state does not fit {owner}:\n  " + "\n  ".join(problems))
    for name, leaf in leaves.items():
        if name in state:
            fill(leaf, np.asarray(state[name]))


def mismatches(wanted: Mapping[str, Any], state: Mapping[str, Any], *, strict: bool) -> list[str]:
    """One line for each entry that is missing, extra, misshapen or of another kind of number."""
    found = []
    if strict:
        found += [f"missing: {name} ({wanted[name]})" for name in wanted if name not in state]
        found += [f"extra: {name}" for name in state if name not in wanted]
    for name, kind in wanted.items():
        if name not in state:
            continue
        array = np.asarray(state[name])
        if array.shape != kind.shape:
            found.append(f"misshapen: {name} is {list(array.shape)}, expected {list(kind.shape)}")
        elif array.dtype.kind != kind.dtype.kind:
            found.append(f"mistyped: {name} is {array.dtype.name}, expected {kind.dtype.name}")
    return found


def fill(leaf: Tensor, array: Any) -> None:
    """Write into the memory that a leaf has; it gets memory of its own where it has none."""
    data = leaf.data
    if isinstance(data, Uninitialised) or (
        isinstance(data, np.ndarray) and not data.flags.writeable
    ):
        leaf.data = aligned.copy(array, leaf.dtype)
    elif isinstance(array, np.ndarray) and not isinstance(data, np.ndarray):  # a CuPy array
        data.set(np.ascontiguousarray(array, dtype=data.dtype))
    else:
        data[...] = array

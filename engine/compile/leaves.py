"""Parameters, buffers and other tensors that outlive a run, as memory that plans are bound to; and
the arrays that a run is fed."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from engine.ir.graph import TensorType
from engine.ir.structure import flatten, transform
from engine.tensor import Tensor


def own(tensor: Tensor) -> np.ndarray:
    """The array of a tensor, made fit to be read and updated in place.

    StateError where a parameter has no numbers yet.
    """
    array = tensor.numpy()
    if not (array.flags.c_contiguous and array.flags.writeable and array.flags.aligned):
        array = np.array(array, order="C")
    tensor.data = array
    return array


def array_type(array: np.ndarray) -> TensorType:
    return TensorType(array.shape, array.dtype)


def array_of(leaf: Any) -> np.ndarray:
    return leaf.numpy() if isinstance(leaf, Tensor) else np.asarray(leaf)


def read(tree: Any) -> tuple[list[np.ndarray], Hashable]:
    """The arrays of a tree, and a key of all that a plan depends on: form, shapes and dtypes."""
    # most batches: no walk, and a key that is soon compared
    if type(tree) is dict:
        found: list[Any] = [dict]
        for name, array in tree.items():
            if type(array) is not np.ndarray:
                break
            found += (name, array.dtype, array.shape)
        else:
            return list(tree.values()), tuple(found)
    if type(tree) is tuple:
        found = [tuple]
        for array in tree:
            if type(array) is not np.ndarray:
                break
            found += (array.dtype, array.shape)
        else:
            return list(tree), tuple(found)
    leaves, _, form = flatten(tree)
    arrays = [array_of(leaf) for leaf in leaves]
    return arrays, (form, *map(array_type, arrays))


def types_of(tree: Any) -> Any:
    """The tree with types in place of arrays."""
    return transform(tree, lambda leaf: array_type(array_of(leaf)))

"""Parameters, buffers and other tensors that outlive a run, as memory that plans are bound to."""

from __future__ import annotations

import numpy as np

from engine.ir.graph import TensorType
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

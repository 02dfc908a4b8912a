"""Where the elements of each value lie: whose memory it is, from which byte, with which strides.

A value of an ordinary operation owns its memory, in C order. A view lies in the memory of its
first input; NumPy is asked how, over a range of addresses at which nothing is stored.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import numpy as np

from engine.ir.graph import Node, TensorType, Value
from engine.ops.registry import outputs_of


class Layout(NamedTuple):
    """root: the value that owns the memory. offset and strides are in bytes."""

    root: Value
    offset: int
    strides: tuple[int, ...]


class Layouts:
    """The layout of every value that is asked for, remembered."""

    def __init__(self) -> None:
        self._known: dict[Value, Layout] = {}

    def of(self, value: Value) -> Layout:
        known = self._known.get(value)
        return self._find(value) if known is None else known

    def _find(self, value: Value) -> Layout:
        chain: list[Node] = []
        at = value
        while at not in self._known:
            node = at.node
            if node is None or not node.op.view:
                self._known[at] = own(at)
                break
            chain.append(node)
            at = node.inputs[0]
        for node in reversed(chain):
            self._enter_view(node)
        return self._known[value]

    def is_contiguous(self, value: Value) -> bool:
        return is_contiguous(value.type, self.of(value).strides)

    def _enter_view(self, node: Node) -> None:
        base = self._known[node.inputs[0]]
        for value, found in zip(node.outputs, _views(node, base.strides), strict=True):
            if found is None:
                self._known[value] = own(value)
            else:
                delta, strides = found
                self._known[value] = Layout(base.root, base.offset + delta, strides)


def own(value: Value) -> Layout:
    """The layout of a value with memory of its own."""
    array = value.graph.constants.get(value)
    strides = c_strides(value.type) if array is None else tuple(array.strides)
    return Layout(value, 0, strides)


def c_strides(type: TensorType) -> tuple[int, ...]:
    """The strides of NumPy's C order."""
    return _strides(type.shape, type.dtype.itemsize)


@lru_cache(4096)
def _strides(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    strides = []
    for length in reversed(shape):
        strides.append(step)
        step *= max(length, 1)
    return tuple(reversed(strides))


def is_contiguous(type: TensorType, strides: Sequence[int]) -> bool:
    """Whether the elements follow each other in C order; strides of axes of length 1 are free."""
    if 0 in type.shape:
        return True
    step = type.dtype.itemsize
    for length, stride in zip(reversed(type.shape), reversed(strides), strict=True):
        if length != 1 and stride != step:
            return False
        step *= length
    return True


def extent(type: TensorType, strides: Sequence[int]) -> tuple[int, int]:
    """The first byte and the byte after the last, counted from the first element."""
    if 0 in type.shape:
        return 0, 0
    reach = [(n - 1) * s for n, s in zip(type.shape, strides, strict=True)]
    low, high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
    return low, high + type.dtype.itemsize


def _views(node: Node, strides: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]] | None]:
    """Offset and strides of each output in the memory of input 0; None where it is copied."""
    source = _phantom(node.inputs[0].type, strides)
    if node.op.name == "reshape":
        return [_reshaped(source, node.outputs[0].type.shape)]
    others = [_phantom(value.type, c_strides(value.type)) for value in node.inputs[1:]]
    start, low, high = _span(source)
    found: list[tuple[int, tuple[int, ...]] | None] = []
    for array in outputs_of(node.op.ref(source, *others, **node.attrs)):
        first, _, _ = _span(array)
        if not array.size:
            first = start
        elif not (low <= first < high and array.dtype == source.dtype):
            found.append(None)
            continue
        found.append((first - start, tuple(array.strides)))
    return found


def _reshaped(source: np.ndarray, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]] | None:
    try:
        return 0, tuple(source.reshape(shape, copy=False).strides)
    except ValueError:
        return None


def _span(array: np.ndarray) -> tuple[int, int, int]:
    """The addresses of the first element, of the lowest byte and of the byte after the highest."""
    start: int = array.__array_interface__["data"][0]
    low, high = extent(TensorType(array.shape, array.dtype), array.strides)
    return start, start + low, start + high


_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_lock = Lock()
_reserved = mmap.mmap(-1, mmap.PAGESIZE, _PRIVATE, mmap.PROT_READ)


def _phantom(type: TensorType, strides: tuple[int, ...]) -> np.ndarray:
    """An array of the right shape and strides whose memory is reserved, never used."""
    low, high = extent(type, strides)
    return np.ndarray(type.shape, type.dtype, _reserve(high - low), -low, strides)


def _reserve(size: int) -> mmap.mmap:
    """Addresses for `size` bytes; they read as zero and take no memory."""
    global _reserved
    with _lock:
        if len(_reserved) < size:
            _reserved = mmap.mmap(-1, 2 * size, _PRIVATE, mmap.PROT_READ)
        return _reserved

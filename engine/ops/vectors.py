"""NumPy (or CuPy) code for scalar expressions: generated once, run block by block.

The statements write into outputs and a few reused temporaries. Blocks keep those temporaries in
the cache. An output may be the very array of an input that has its shape and dtype: nothing is
written to an output before every input has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from engine.backend.modules import array_module
from engine.ops.scalar import Expr
from engine.ops.statements import compiled, expand

BLOCK = 16384  # elements; the temporaries of float32 then fit a second-level cache

#: Lends an array for a while: (place, shape, dtype) -> array. Other places, other memory.
Scratch = Callable[[int, tuple[int, ...], np.dtype], Any]


class VectorCode:
    """Callable on arrays: the values of some expressions, elementwise with broadcasting."""

    def __init__(self, roots: Sequence[Expr]) -> None:
        self.predicates = [root.is_predicate for root in roots]
        self._roots = expand(roots)
        self._compiled: dict[Any, Any] = {}

    def __call__(self, arrays: Sequence[Any], kind: np.dtype, out: Any = None) -> tuple[Any, ...]:
        """`kind` is the dtype numbers have; truth values are bool.

        NumPy may warn of infinities; who runs operations turns that off (`np.errstate`).
        """
        xp = array_module(*arrays)
        if out is None:
            shape = np.broadcast_shapes(*[a.shape for a in arrays])
            outs = tuple(xp.empty(shape, bool if p else kind) for p in self.predicates)
        else:
            outs = out if isinstance(out, tuple) else (out,)
        several = outs[0].size > 1
        single = tuple([several and a.size == 1 for a in arrays])
        head, body, numbers, truths = self._variant(single, xp, kind)
        constants = head(*[a.reshape(()) if s else a for a, s in zip(arrays, single, strict=True)])
        if not (numbers or truths):
            body(*arrays, *constants, *outs)
            return outs
        temporaries: list[Any] = []
        for ins, block_outs in _blocks(arrays, single, outs, numbers + truths):
            if not temporaries or temporaries[0].shape != block_outs[0].shape:
                block = block_outs[0].shape
                temporaries = [xp.empty(block, kind) for _ in range(numbers)]
                temporaries += [xp.empty(block, bool) for _ in range(truths)]
            body(*ins, *constants, *block_outs, *temporaries)
        return outs

    def bind(
        self, arrays: Sequence[Any], kind: np.dtype, outs: tuple[Any, ...], scratch: Scratch
    ) -> Callable[[], Any]:
        """A call that computes `outs` from `arrays` as they are then; see `OpDef.bind`."""
        single = tuple(outs[0].size > 1 and a.size == 1 for a in arrays)
        head, body, numbers, truths = self._variant(single, array_module(*arrays), kind)
        scalars = [a.reshape(()) if s else a for a, s in zip(arrays, single, strict=True)]
        calls = []
        for ins, block_outs in _blocks(arrays, single, outs, numbers + truths):
            kinds = [kind] * numbers + [np.dtype(bool)] * truths
            lent = [scratch(i, block_outs[0].shape, k) for i, k in enumerate(kinds)]
            calls.append((ins, (*block_outs, *lent)))
        with np.errstate(all="ignore"):
            hoists = len(head(*scalars)) > 0
        if not hoists and len(calls) == 1:
            return partial(body, *calls[0][0], *calls[0][1])

        def run() -> None:
            constants = head(*scalars)
            for ins, rest in calls:
                body(*ins, *constants, *rest)

        return run

    def _variant(self, single: tuple[bool, ...], xp: Any, kind: np.dtype) -> Any:
        key = (single, xp, kind.kind)
        if key not in self._compiled:
            self._compiled[key] = compiled(self._roots, single, xp, kind)
        return self._compiled[key]


def _blocks(
    arrays: Sequence[Any], single: Sequence[bool], outs: tuple[Any, ...], temporaries: int
) -> Any:
    """Parts of the arrays that are worked through one after another."""
    first = outs[0]
    if temporaries == 0 or first.size <= 2 * BLOCK or not isinstance(first, np.ndarray):
        return [(arrays, outs)]
    whole = [a for a, s in zip(arrays, single, strict=True) if not s] + list(outs)
    if all(a.shape == first.shape and a.flags.c_contiguous for a in whole):
        arrays = [a.reshape(() if s else -1) for a, s in zip(arrays, single, strict=True)]
        outs = tuple(o.reshape(-1) for o in outs)
    else:
        missing = [first.ndim - a.ndim for a in arrays]
        arrays = [a.reshape((1,) * m + a.shape) for a, m in zip(arrays, missing, strict=True)]
    length = outs[0].shape[0]
    step = max(1, BLOCK // max(1, outs[0].size // length))

    def part(array: Any, start: int) -> Any:
        return array[start : start + step] if array.shape[:1] == (length,) else array

    return (
        ([part(a, start) for a in arrays], tuple(part(o, start) for o in outs))
        for start in range(0, length, step)
    )

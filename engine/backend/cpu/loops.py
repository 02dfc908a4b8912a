"""Nested loops over the elements of tensors with any strides."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from engine.backend.cpu.functions import loose
from engine.backend.cpu.kernels import cut, strides_of
from engine.backend.cpu.shares import part_of
from engine.compile.plan import Slot

#: One axis: its length, and the stride of every tensor along it, in elements.
Axis = tuple[int, tuple[int, ...]]
#: Turns of an inner loop from which it is as fast where C does not know their number.
LONG = 128


class Loop:
    """Nested loops over a shape, axes merged where all tensors allow it, cut into parts.

    work: operations that an element takes. Tensors are told apart by their place in `slots`.
    """

    def __init__(self, slots: Sequence[Slot], shape: tuple[int, ...], work: int) -> None:
        self.size = prod(shape)
        rows = [aligned(slot, shape) for slot in slots]
        axes = [(n, tuple(r[i] for r in rows)) for i, n in enumerate(shape) if n != 1]
        self.axes = merged(axes) or [(1, tuple(0 for _ in slots))]
        grain = 16 if len(self.axes) == 1 else 1
        self.parts, self._length = cut(self.axes[0][0], work * self.size, grain)

    def index(self, place: int) -> str:
        return index([strides[place] for _, strides in self.axes])

    def is_steady(self, place: int) -> bool:
        """Whether a tensor stays at one element along the innermost loop."""
        return self.axes[-1][1][place] == 0

    def text(self, body: Sequence[str], part: str = "part", before: Sequence[str] = ()) -> str:
        """before: statements ahead of the innermost loop, within the others."""
        last = len(self.axes) - 1
        lines: list[str] = []
        for axis, (n, _) in enumerate(self.axes):
            start, stop = "0", turns(n) if last and axis == last else loose(n)
            if axis == 0 and (self.parts > 1 or (last == 0 and part == "part")):
                start, stop = part_of(n, self._length, part)
            if axis == last:
                lines += [*before, "GW_IVDEP"]
            lines.append(f"for (int64_t i{axis} = {start}; i{axis} < {stop}; i{axis}++) {{")
        return "\n".join([*lines, *body, "}" * len(self.axes)])


def turns(n: int) -> str:
    """How often an inner loop goes round, as C has it: it makes more of a few that it knows."""
    return loose(n) if n >= LONG else str(n)


def index(strides: Sequence[int]) -> str:
    """The place of an element, of the variables i0, i1, …; the last is that of the inner loop."""
    last = len(strides) - 1
    terms = [
        f"i{axis} * {stride if axis == last else loose(stride)}" if stride != 1 else f"i{axis}"
        for axis, stride in enumerate(strides)
        if stride
    ]
    return " + ".join(terms) or "0"


def aligned(slot: Slot, shape: tuple[int, ...]) -> list[int]:
    """Strides over `shape`: 0 along axes that are broadcast."""
    missing = len(shape) - slot.type.ndim
    own = zip(slot.type.shape, strides_of(slot), strict=True)
    return [0] * missing + [0 if n == 1 else s for n, s in own]


def merged(axes: Sequence[Axis]) -> list[Axis]:
    """Neighbouring axes made one where every tensor allows it."""
    done: list[Axis] = []
    for n, strides in axes:
        if done and all(o == s * n for o, s in zip(done[-1][1], strides, strict=True)):
            done[-1] = (done[-1][0] * n, strides)
        else:
            done.append((n, strides))
    return done

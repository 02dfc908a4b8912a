"""One C translation unit for the launches of a plan; equal kernels stand in it once."""

from __future__ import annotations

from collections.abc import Sequence

import engine.backend.cpu.emitters  # noqa: F401 - enters the emitters
from engine.backend.cpu.functions import Function, Numbers, taken
from engine.backend.cpu.kernels import EMITTERS, Kernel, Phase, c_type
from engine.backend.cpu.movement import moved
from engine.backend.cpu.pointwise import pointwise
from engine.compile.plan import Launch

#: Texts of a unit, at most; the work of compiling one, at least. Work is counted in letters of a
#: body; LARGE and SMALL come on top, for one that calls a header's functions and for any other.
MOST_PIECES, PIECE, LARGE, SMALL = 2, 16_000, 4_000, 400


def emit(launch: Launch) -> Kernel | None:
    """C for a launch, or None."""
    slots = (*launch.inputs, *launch.outputs)
    if any(c_type(slot.type.dtype) is None for slot in slots):
        return None
    if any(slot.type.size == 0 for slot in slots):
        return None
    if launch.op is None:
        return moved(launch.inputs[0], launch.outputs[0])
    special = EMITTERS.get(launch.op.name)
    if special is not None:
        return special(launch)
    return pointwise(launch) if launch.op.exprs is not None else None


class Unit:
    """The texts, and for each phase of each launch its function and the numbers that it reads.

    texts: translation units, cut so that compiling each takes about as long.
    """

    def __init__(self, launches: Sequence[Launch]) -> None:
        self.kernels = [emit(launch) for launch in launches]
        self._known: dict[tuple[str, int], Function] = {}
        found = [
            [self._enter(phase, kernel.headers, _pointers(launch)) for phase in kernel.phases]
            if kernel
            else []
            for launch, kernel in zip(launches, self.kernels, strict=True)
        ]
        self.calls = [[(f.name, f.read(numbers)) for f, numbers in phases] for phases in found]
        self.texts = tuple(
            self._text(functions, further=number > 0)
            for number, functions in enumerate(_pieces([*self._known.values()]))
        )

    def _enter(
        self, phase: Phase, headers: tuple[str, ...], first: int
    ) -> tuple[Function, Numbers]:
        body, numbers = taken(phase.body)
        function = self._known.get((body, first))
        if function is None:
            function = Function(f"k{len(self._known)}", body, first, headers)
            self._known[body, first] = function
        function.enter(numbers, phase.parts)
        return function, numbers

    def _text(self, functions: Sequence[Function], further: bool) -> str:
        headers = dict.fromkeys(name for function in functions for name in function.headers)
        lines = ["#define GW_FURTHER"] if further else []
        lines += ['#include "gradworks.h"', *(f'#include "{name}"' for name in headers)]
        return "\n".join([*lines, *(function.text() for function in functions)]) + "\n"


def _pointers(launch: Launch) -> int:
    """Addresses ahead of the numbers: tensors, scratch memory and what is kept."""
    return len(launch.inputs) + len(launch.outputs) + 2


def _pieces(functions: Sequence[Function]) -> list[list[Function]]:
    """Functions of the same headers side by side, so that few pieces read each header."""
    ordered = sorted(functions, key=lambda function: function.headers)
    costs = [len(f.body) + (LARGE if f.headers else SMALL) for f in ordered]
    count = max(1, min(MOST_PIECES, sum(costs) // PIECE))
    found: list[list[Function]] = [[] for _ in range(count)]
    spent = 0
    for function, cost in zip(ordered, costs, strict=True):
        found[spent * count // sum(costs)].append(function)
        spent += cost
    return [piece for piece in found if piece] or [[]]

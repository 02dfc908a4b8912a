"""One C translation unit for the launches of a plan; equal kernels stand in it once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import engine.backend.cpu.emitters  # noqa: F401 - enters the emitters
from engine.backend.cpu.functions import Function, Numbers, taken
from engine.backend.cpu.kernels import EMITTERS, Kernel, Phase, c_type
from engine.backend.cpu.movement import moved
from engine.backend.cpu.pointwise import pointwise
from engine.compile.plan import Launch

#: Texts of a unit, at most; the work of compiling one, at least. Work is counted in letters of a
#: body; a loop counts for so many more: it is made fit for vectors, and copied for what is left.
MOST_PIECES, PIECE, LOOP = 2, 8_000, 300


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
        made: dict[Hashable, Kernel | None] = {}
        self.kernels = [_emitted(launch, made) for launch in launches]
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


def _emitted(launch: Launch, made: dict[Hashable, Kernel | None]) -> Kernel | None:
    """`emit`, once for all launches that are alike but for where their tensors lie."""
    try:
        key = launch.likeness
    except TypeError:  # attributes that cannot be compared
        return emit(launch)
    if key not in made:
        made[key] = emit(launch)
    return made[key]


def _pointers(launch: Launch) -> int:
    """Addresses ahead of the numbers: tensors, scratch memory and what is kept."""
    return len(launch.inputs) + len(launch.outputs) + 2


def _pieces(functions: Sequence[Function]) -> list[list[Function]]:
    """Functions shared out, those that take longest first, each to the piece with least to do."""
    costs = {function: _cost(function.body) for function in functions}
    count = max(1, min(MOST_PIECES, sum(costs.values()) // PIECE))
    found: list[list[Function]] = [[] for _ in range(count)]
    spent = [0] * count
    for function in sorted(functions, key=lambda f: -costs[f]):
        least = spent.index(min(spent))
        found[least].append(function)
        spent[least] += costs[function]
    return found


def _cost(body: str) -> int:
    """How long a body takes to compile, roughly."""
    return len(body) + LOOP * body.count("for (")

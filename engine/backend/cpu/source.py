"""One C translation unit for the launches of a plan; equal kernels stand in it once."""

from __future__ import annotations

from collections.abc import Sequence

import engine.backend.cpu.emitters  # noqa: F401 - enters the emitters
from engine.backend.cpu.kernels import EMITTERS, Kernel, Phase, c_type
from engine.backend.cpu.movement import moved
from engine.backend.cpu.pointwise import pointwise
from engine.compile.plan import Launch

#: Texts of a unit, at most; the work of compiling one, at least. Work is counted in letters of a
#: body; LARGE and SMALL come on top, for one that calls a header's functions and for any other.
MOST_PIECES, PIECE, LARGE, SMALL = 2, 16_000, 4_000, 400

_SIGNATURE = "(char* const* p, int64_t part)"


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
    """The texts, and for each launch its kernel and the names of its functions.

    texts: translation units, cut so that compiling each takes about as long.
    """

    def __init__(self, kernels: Sequence[Kernel | None]) -> None:
        self.kernels = list(kernels)
        self.names: list[list[str]] = []
        self._known: dict[str, str] = {}
        self._headers: dict[str, tuple[str, ...]] = {}  # by body
        for kernel in kernels:
            phases: tuple[Phase, ...] = () if kernel is None else kernel.phases
            headers = () if kernel is None else kernel.headers
            self.names.append([self._enter(phase.body, headers) for phase in phases])
        self.texts = tuple(
            self._text(bodies, further=number > 0) for number, bodies in enumerate(self._pieces())
        )

    def _enter(self, body: str, headers: tuple[str, ...]) -> str:
        self._headers.setdefault(body, headers)
        return self._known.setdefault(body, f"k{len(self._known)}")

    def _text(self, bodies: Sequence[str], further: bool) -> str:
        headers = dict.fromkeys(name for body in bodies for name in self._headers[body])
        lines = ["#define GW_FURTHER"] if further else []
        lines += ['#include "gradworks.h"', *(f'#include "{name}"' for name in headers)]
        lines += [
            f"GW_EXPORT void {self._known[body]}{_SIGNATURE} {{\n(void)p; (void)part;\n{body}\n}}"
            for body in bodies
        ]
        return "\n".join(lines) + "\n"

    def _pieces(self) -> list[list[str]]:
        """Bodies of the same headers side by side, so that few pieces read each header."""
        bodies = sorted(self._known, key=lambda body: self._headers[body])
        costs = [len(body) + (LARGE if self._headers[body] else SMALL) for body in bodies]
        count = max(1, min(MOST_PIECES, sum(costs) // PIECE))
        found: list[list[str]] = [[] for _ in range(count)]
        spent = 0
        for body, cost in zip(bodies, costs, strict=True):
            found[spent * count // sum(costs)].append(body)
            spent += cost
        return [piece for piece in found if piece] or [[]]

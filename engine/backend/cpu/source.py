"""One C translation unit for the launches of a plan; equal kernels stand in it once."""

from __future__ import annotations

from collections.abc import Sequence

import engine.backend.cpu.emitters  # noqa: F401 - enters the emitters
from engine.backend.cpu.kernels import EMITTERS, Kernel, Phase, c_type
from engine.backend.cpu.movement import moved
from engine.backend.cpu.pointwise import pointwise
from engine.compile.plan import Launch

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
    """The text, and for each launch its kernel and the names of its functions."""

    def __init__(self, kernels: Sequence[Kernel | None]) -> None:
        self.kernels = list(kernels)
        self.names: list[list[str]] = []
        self.scratch = max((k.scratch for k in kernels if k is not None), default=0)
        self._known: dict[str, str] = {}
        headers: dict[str, None] = {}
        for kernel in kernels:
            phases: tuple[Phase, ...] = () if kernel is None else kernel.phases
            self.names.append([self._enter(phase.body) for phase in phases])
            headers |= dict.fromkeys(() if kernel is None else kernel.headers)
        lines = ['#include "gradworks.h"', *(f'#include "{name}"' for name in headers)]
        lines += [
            f"GW_EXPORT void {name}{_SIGNATURE} {{\n(void)p; (void)part;\n{body}\n}}"
            for body, name in self._known.items()
        ]
        self.text = "\n".join(lines) + "\n"

    def _enter(self, body: str) -> str:
        return self._known.setdefault(body, f"k{len(self._known)}")

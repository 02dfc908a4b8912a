"""Kernels that want dense inputs: what has other strides is copied first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.backend.cpu.functions import loose
from engine.backend.cpu.kernels import C_TYPES, Kernel, Phase, is_dense, scratch_pointer, strides_of
from engine.compile.plan import Launch, Slot
from engine.ir.layout import c_strides

_LINE = 64


def densified(launch: Launch, make: Callable[[Launch], Kernel | None]) -> Kernel | None:
    """`make` for a launch whose inputs are dense, with a phase before it that copies the others."""
    if not all(is_dense(slot) for slot in launch.outputs):
        return None
    strided = [i for i, slot in enumerate(launch.inputs) if not is_dense(slot)]
    if not strided:
        return make(launch)
    kernel = make(replace(launch, inputs=tuple(_dense(slot) for slot in launch.inputs)))
    if kernel is None:
        return None
    base, place = -(-kernel.scratch // _LINE) * _LINE, scratch_pointer(launch)
    copies, moved = [], []
    for i in strided:
        slot = launch.inputs[i]
        moved.append(f"q[{i}] = {place} + {loose(base)};")
        copies.append(_copy(slot, f"p[{i}]", f"{place} + {loose(base)}"))
        base += -(-slot.type.nbytes // _LINE) * _LINE
    count = len(launch.inputs) + len(launch.outputs) + 2
    head = f"char* q[{count}];\nmemcpy(q, p, sizeof q);\n" + "\n".join(moved)
    phases = [
        replace(phase, body=f"{head}\n{{\nchar* const* p = q;\n{phase.body}\n}}")
        for phase in kernel.phases
    ]
    first = Phase("\n".join(copies))
    return Kernel((first, *phases), base, kernel.headers, kernel.kept)


def _dense(slot: Slot) -> Slot:
    return replace(slot, place=replace(slot.place, strides=c_strides(slot.type)))


def _copy(slot: Slot, source: str, target: str) -> str:
    c = C_TYPES[slot.type.dtype.name]
    loops = [
        f"for (int64_t i{axis} = 0; i{axis} < {loose(n)}; i{axis}++)"
        for axis, n in enumerate(slot.type.shape)
    ]
    terms = [f"i{axis} * {loose(s)}" for axis, s in enumerate(strides_of(slot))]
    index = " + ".join(terms) or "0"
    head = f"const {c}* x = (const void*)({source});\n{c}* y = (void*)({target});\n"
    return "{\n" + head + "\n".join(loops) + f"\n*y++ = x[{index}];\n}}"

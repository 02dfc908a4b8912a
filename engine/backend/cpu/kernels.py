"""What an emitter gives: C for one launch, cut into parts that may run side by side.

    @emitter("cumsum")
    def cumsum(launch): ... return Kernel(body)

A body reads its tensors from `p` (inputs, outputs, scratch, kept memory) and the index of its part
from `part`. It knows shapes and strides, never addresses: launches of the same shape share it, and
so do those that differ in `loose` numbers alone. An emitter returns None for a launch it does not
cover; that one then runs by its reference. A body that finds numbers which the reference would
refuse calls GW_REFUSE(): the reference then runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from engine.backend.cpu.functions import loosened
from engine.compile.plan import Launch, Slot

#: Work below which a launch is not cut: waking a thread costs some microseconds.
PART_WORK = 64_000

C_TYPES = {
    "float32": "float", "float64": "double", "int8": "int8_t", "int32": "int32_t",
    "int64": "int64_t", "uint8": "uint8_t", "uint32": "uint32_t", "uint64": "uint64_t",
    "bool": "uint8_t",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phase:
    """A body and how many parts it has. Phases run one after another.

    work: operations, roughly, where they are not an even share of what the launch takes.
    """

    body: str
    parts: int = 1
    work: int | None = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """phases, bytes of scratch memory, and headers of the runtime to include.

    kept: bytes of memory that nobody else writes to, zero before the first run.
    """

    phases: tuple[Phase, ...]
    scratch: int = 0
    headers: tuple[str, ...] = ()
    kept: int = 0


Emitter = Callable[[Launch], Kernel | None]
EMITTERS: dict[str, Emitter] = {}


def emitter(*names: str) -> Callable[[Emitter], Emitter]:
    """Enter an emitter for the operations called `names`."""

    def enter(function: Emitter) -> Emitter:
        for name in names:
            EMITTERS[name] = function
        return function

    return enter


def one(body: str, parts: int = 1, *, scratch: int = 0, headers: tuple[str, ...] = ()) -> Kernel:
    """A kernel of a single phase."""
    return Kernel((Phase(body, parts),), scratch, headers)


def calling(kernel: Kernel) -> Kernel:
    """A kernel that does little but call functions of headers: C need not know its numbers."""
    phases = [replace(phase, body=loosened(phase.body)) for phase in kernel.phases]
    return replace(kernel, phases=tuple(phases))


def c_type(dtype: np.dtype) -> str | None:
    return C_TYPES.get(dtype.name)


def declare(launch: Launch) -> str:
    """`x0`, `x1`, … for the inputs and `y0`, … for the outputs, as typed pointers."""
    lines = [
        f"const {C_TYPES[slot.type.dtype.name]}* x{i} = (const void*)p[{i}];"
        for i, slot in enumerate(launch.inputs)
    ]
    first = len(launch.inputs)
    lines += [
        f"{C_TYPES[slot.type.dtype.name]}* y{i} = (void*)p[{first + i}];"
        for i, slot in enumerate(launch.outputs)
    ]
    return "\n".join(lines)


def scratch_pointer(launch: Launch) -> str:
    return f"p[{len(launch.inputs) + len(launch.outputs)}]"


def kept_pointer(launch: Launch) -> str:
    return f"p[{len(launch.inputs) + len(launch.outputs) + 1}]"


def strides_of(slot: Slot) -> tuple[int, ...]:
    """In elements."""
    size = slot.type.dtype.itemsize
    return tuple(stride // size for stride in slot.place.strides)


def is_dense(slot: Slot) -> bool:
    """Whether the elements follow each other in C order."""
    step = 1
    for length, stride in zip(reversed(slot.type.shape), reversed(strides_of(slot)), strict=True):
        if length != 1 and stride != step:
            return False
        step *= length
    return True


def cut(length: int, work: int, grain: int = 1) -> tuple[int, int]:
    """(parts, how many of `length` one part takes), so that a part is worth its thread.

    It depends on shapes alone. `grain`: a part takes a multiple of so many.
    """
    parts = max(1, min(length // max(grain, 1), work // PART_WORK, 32))
    size = -(-length // parts)
    size = -(-size // grain) * grain
    return max(1, -(-length // size)), size


def literal(value: float | bool, c: str) -> str:
    """A number as C has it, exactly."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if c not in ("float", "double"):
        return f"INT64_C({int(value)})" if abs(int(value)) < 2**63 else f"UINT64_C({int(value)})"
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "(-INFINITY)"
    text = float(np.float32(value)).hex() if c == "float" else float(value).hex()
    return f"{text}f" if c == "float" else text

"""Copies: casts, concatenation, slices put back, numbers in order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from engine.backend.cpu.functions import loose
from engine.backend.cpu.kernels import (
    C_TYPES,
    Kernel,
    Phase,
    cut,
    declare,
    emitter,
    is_dense,
    literal,
    one,
    strides_of,
)
from engine.backend.cpu.loops import Loop
from engine.backend.cpu.shares import share
from engine.compile.plan import Launch, Slot
from engine.ir.layout import c_strides
from engine.ir.passes.memory import Place

_WORDS = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}


def words(slot: Slot) -> str:
    """The unsigned integer that holds an element, whatever it means."""
    return _WORDS[slot.type.dtype.itemsize]


def moved(source: Slot, target: Slot) -> Kernel:
    """The elements of one slot in another of the same shape and size of elements."""
    if is_dense(source) and is_dense(target):
        parts, size = cut(source.type.nbytes, source.type.nbytes // 8, 4096)
        start = f"part * {loose(size)}"
        length = f"GW_MIN({loose(size)}, {loose(source.type.nbytes)} - {start})"
        return one(f"memcpy(p[1] + {start}, p[0] + {start}, {length});", parts)
    c = words(source)
    loop = Loop([source, target], target.type.shape, 2)
    head = f"const {c}* x = (const void*)p[0];\n{c}* restrict y = (void*)p[1];\n"
    return one(head + loop.text([f"y[{loop.index(1)}] = x[{loop.index(0)}];"]), loop.parts)


@emitter("copy", "detach", "expand", "transpose", "slice", "to_device")
def copy(launch: Launch) -> Kernel:
    return moved(launch.inputs[0], launch.outputs[0])


@emitter("reshape")
def reshape(launch: Launch) -> Kernel:
    """Only one that has to move its elements: they stand in C order afterwards."""
    return moved(launch.inputs[0], _seen(launch.outputs[0], launch.inputs[0].type.shape))


def _seen(slot: Slot, shape: tuple[int, ...]) -> Slot:
    """The same dense memory under another shape."""
    kind = type(slot.type)(shape, slot.type.dtype)
    return Slot(kind, Place(slot.place.buffer, slot.place.offset, c_strides(kind)))


@emitter("cast")
def cast(launch: Launch) -> Kernel:
    """As C converts: towards zero to integers; anything but zero is true."""
    source, target = launch.inputs[0], launch.outputs[0]
    loop = Loop([source, target], target.type.shape, 2)
    value = f"x0[{loop.index(0)}]"
    if target.type.dtype.name == "bool":
        value = f"{value} != 0"
    elif source.type.dtype.kind == "f" and target.type.dtype.kind == "u":
        value = f"(int64_t){value}"
    kind = C_TYPES[target.type.dtype.name]
    text = loop.text([f"y0[{loop.index(1)}] = ({kind})({value});"])
    return one(declare(launch) + "\n" + text, loop.parts)


@emitter("cat")
def cat(launch: Launch) -> Kernel:
    """Where all inputs are dense, a part takes some rows of each; else every input has its own."""
    target, axis = launch.outputs[0], launch.attrs["axis"]
    if prod(target.type.shape[:axis]) > 1 and all(map(is_dense, (*launch.inputs, target))):
        return _beside(launch)
    c, step = words(target), strides_of(target)[axis]
    lines, done, start = [], 0, 0
    for place, source in enumerate(launch.inputs):
        window = Slot(source.type, Place(0, 0, target.place.strides))
        loop = Loop([source, window], source.type.shape, 2)
        text = loop.text([f"y[{loop.index(1)}] = x[{loop.index(0)}];"], f"(part - {done})")
        lines.append(
            f"if (part >= {done} && part < {done + loop.parts}) {{\n"
            f"const {c}* x = (const void*)p[{place}];\n"
            f"{c}* restrict y = ({c}*)p[{len(launch.inputs)}] + {start * step};\n{text}\n}}"
        )
        start += source.type.shape[axis]
        done += loop.parts
    return one("\n".join(lines), done)


def _beside(launch: Launch) -> Kernel:
    """Rows of dense inputs beside each other: what a row reads and writes lies near one thread."""
    target, axis = launch.outputs[0].type, launch.attrs["axis"]
    rows, whole = prod(target.shape[:axis]), target.nbytes // prod(target.shape[:axis])
    parts, some = cut(rows, target.nbytes)
    lines, start = [], 0
    for place, source in enumerate(launch.inputs):
        length = source.type.nbytes // rows
        lines.append(f"memcpy(y + {start}, (const char*)p[{place}] + r * {length}, {length});")
        start += length
    head = f"{share('r', rows, some)} {{\nchar* y = (char*)p[{len(launch.inputs)}] + r * {whole};"
    return one("\n".join([head, *lines, "}"]), parts)


@emitter("unslice")
def unslice(launch: Launch) -> Kernel:
    source, target = launch.inputs[0], launch.outputs[0]
    steps = strides_of(target)
    starts, hops = launch.attrs["starts"], launch.attrs["steps"]
    first = sum(n * s for n, s in zip(starts, steps, strict=True))
    strides = tuple(h * s for h, s in zip(hops, target.place.strides, strict=True))
    loop = Loop([source, Slot(source.type, Place(0, 0, strides))], source.type.shape, 2)
    c, nbytes = words(target), target.type.nbytes
    parts, size = cut(nbytes, nbytes // 8, 4096)
    zero = f"memset(p[1] + part * {size}, 0, GW_MIN({size}, {nbytes} - part * {size}));"
    head = f"const {c}* x = (const void*)p[0];\n{c}* restrict y = ({c}*)p[1] + {first};\n"
    fill = head + loop.text([f"y[{loop.index(1)}] = x[{loop.index(0)}];"])
    return Kernel((Phase(zero, parts), Phase(fill, loop.parts)))


@emitter("full")
def full(launch: Launch) -> Kernel:
    value = launch.attrs["value"]
    return _numbers(launch, literal(value, C_TYPES[launch.outputs[0].type.dtype.name]))


@emitter("arange")
def arange(launch: Launch) -> Kernel:
    start, step = launch.attrs["start"], launch.attrs["step"]
    if launch.outputs[0].type.dtype.kind == "f":
        return _numbers(
            launch,
            f"{literal(float(start), 'double')} + {literal(float(step), 'double')} * (double)i0",
        )
    return _numbers(launch, f"{literal(start, 'int64_t')} + {literal(step, 'int64_t')} * i0")


def _numbers(launch: Launch, value: str) -> Kernel:
    slots: Sequence[Slot] = launch.outputs
    loop = Loop(slots, slots[0].type.shape, 1)
    text = loop.text([f"y0[{loop.index(0)}] = {value};"])
    return one(declare(launch) + "\n" + text, loop.parts)

"""Plans and their code, kept on disk under the key of the graph that they were made of.

A graph that was planned and compiled before is neither simplified, fused, planned nor written as C
again: what runs it is read. Its launches are made when somebody asks for them.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

import engine
from engine.backend.cpu import blas, disk, toolchain
from engine.backend.cpu.code import Code, Draft
from engine.compile.plan import Buffer, Launches, Plan, Slot
from engine.ir.fingerprint import fingerprint
from engine.ir.graph import Graph
from engine.ir.passes.memory import Place

#: Constants of a plan beyond this are not kept, nor is the plan.
MOST_CONSTANTS = 1 << 20
Make = Callable[[], Plan]


def plan_of(
    graph: Graph, resident: Collection[int], chain: toolchain.Toolchain, make: Make
) -> Plan:
    """The plan of a traced graph: recalled, or made, and then known by its key."""
    found = fingerprint(graph)
    if found is None:
        return make()
    key = _key(found, resident, chain)
    content = disk.find(f"{key}.plan")
    if content is not None:
        with suppress(KeyError, ValueError, TypeError, IndexError):
            return _read(content, graph, key, make)
    return make().named(key)


def code_of(plan: Plan, chain: toolchain.Toolchain) -> tuple[Code, ctypes.CDLL]:
    """The code of a plan and its library: recalled, or written, compiled and kept."""
    if isinstance(plan.code, Code):
        path = toolchain.known(plan.code.library)
        if path is not None:
            return plan.code, toolchain.open_library(path)
    draft = Draft(plan)
    with ThreadPoolExecutor(1) as pool:  # waves are made while the compiler works
        building = pool.submit(toolchain.build, chain, *draft.texts)
        code = draft.finish(toolchain.key(chain, *draft.texts))
    library = toolchain.open_library(building.result())
    if plan.key:
        content = _written(plan, code)
        if content is not None:
            with suppress(OSError):  # the next one plans it again
                disk.keep(f"{plan.key}.plan", lambda path: _put(path, content))
    return code, library


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _key(graph: str, resident: Collection[int], chain: toolchain.Toolchain) -> str:
    parts = (
        graph,
        repr(sorted(resident)),
        np.__version__,
        repr(blas.find() is not None),
        _engine(),
    )
    return toolchain.key(chain, *parts)


@cache
def _engine() -> str:
    """A digest of this engine's own source: another engine may plan otherwise."""
    found = sha256()
    root = Path(engine.__file__).parent
    for path in sorted(root.rglob("*.py")):
        found.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _written(plan: Plan, code: Code) -> bytes | None:
    """A line of JSON, then the numbers of the constants."""
    constants = [b for b in plan.buffers if b.kind == "constant"]
    if sum(b.nbytes for b in constants) > MOST_CONSTANTS:
        return None
    if any(stride < 0 for b in constants for stride in b.array.strides):
        return None
    found = {
        "buffers": [
            [b.kind, b.nbytes, b.name, b.index]
            + ([b.array.dtype.str, b.array.shape, b.array.strides] if b.kind == "constant" else [])
            for b in plan.buffers
        ],
        "inputs": [_place(slot) for slot in plan.inputs],
        "outputs": [_place(slot) for slot in plan.outputs],
        "live": plan.live_bytes,
        "launches": len(plan.launches),
        "code": code.to_json(),
    }
    head = json.dumps(found, separators=(",", ":")).encode()
    return head + b"\n" + b"".join(map(_memory, constants))


def _memory(buffer: Buffer) -> bytes:
    """All bytes of a constant; one that repeats has fewer than its elements would take."""
    array = np.asarray(buffer.array)
    return ctypes.string_at(array.ctypes.data, buffer.nbytes)


def _read(content: bytes, graph: Graph, key: str, make: Make) -> Plan:
    head, _, numbers = content.partition(b"\n")
    found = json.loads(head)
    names = graph.names or [""] * len(graph.outputs)
    return Plan(
        Launches(found["launches"], lambda: _again(make(), found)),
        tuple(_buffers(found["buffers"], numbers)),
        tuple(
            Slot(value.type, _placed(place), value.name)
            for value, place in zip(graph.inputs, found["inputs"], strict=True)
        ),
        tuple(
            Slot(value.type, _placed(place), name)
            for value, place, name in zip(graph.outputs, found["outputs"], names, strict=True)
        ),
        dict(graph.updates),
        found["live"],
        graph.form,
        key,
        Code.from_json(found["code"]),
    )


def _again(plan: Plan, found: dict[str, Any]) -> Plan:
    """The plan that was recalled, made anew: it must be the same one."""
    if (plan.arena_bytes, len(plan.launches)) != (found["buffers"][0][1], found["launches"]):
        raise ValueError("a plan that was kept differs from the one made now; empty the cache")
    return plan


def _buffers(found: list[list[Any]], numbers: bytes) -> list[Buffer]:
    made, start = [], 0
    for kind, nbytes, name, index, *constant in found:
        array = None
        if constant:
            dtype, shape, strides = constant
            memory = numbers[start : start + nbytes]
            array = np.ndarray(tuple(shape), np.dtype(dtype), memory, 0, tuple(strides))
            start += nbytes
        made.append(Buffer(kind, nbytes, name, index, array))
    return made


def _place(slot: Slot) -> list[Any]:
    return [slot.place.buffer, slot.place.offset, list(slot.place.strides)]


def _placed(found: list[Any]) -> Place:
    return Place(found[0], found[1], tuple(found[2]))

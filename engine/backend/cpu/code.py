"""A plan as code: which functions run, on which memory, in which order. All of it is plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.backend.cpu.borrowed import Reader, readers_of
from engine.backend.cpu.kernels import Kernel
from engine.backend.cpu.schedule import ALONE, Entry, Schedule, schedule
from engine.backend.cpu.source import Unit
from engine.compile.plan import Launch, Plan, Slot

#: A buffer of the plan and an offset in it, in bytes.
Address = tuple[int, int]


class Call(NamedTuple):
    """One phase of a launch. scratch: where its memory begins in the workspace.

    parts: how many may run side by side; work: of one of them, in operations, roughly.
    refuses: it may give the launch back, see GW_REFUSE.
    numbers: what its function reads behind the addresses.
    """

    launch: int
    function: str
    parts: int
    work: int
    scratch: int
    refuses: bool
    numbers: Sequence[int] = ()


class Wave(NamedTuple):
    """Calls that may run side by side. alone: there is too little work to share it."""

    alone: bool
    calls: list[Call]


#: Waves that run in one go, or the index of a launch that runs by its reference.
Segment = list[Wave] | int


@dataclass(frozen=True, slots=True)
class Code:
    """addresses: of the tensors of each launch, inputs before outputs; nbytes: what they take.

    inputs: how many of them are inputs. scratch: bytes of workspace.

    kept: bytes of the memory that each launch keeps. library: the key of the shared object.
    readers: of inputs that need not be copied, by input.
    """

    library: str
    addresses: list[list[Address]]
    nbytes: list[list[int]]
    inputs: list[int]
    segments: list[Segment]
    scratch: int
    kept: list[int]
    readers: dict[int, list[Reader]]

    @property
    def references(self) -> list[int]:
        """Launches without C."""
        return [segment for segment in self.segments if isinstance(segment, int)]

    def to_json(self) -> dict[str, Any]:
        return {
            "library": self.library,
            "addresses": self.addresses,
            "nbytes": self.nbytes,
            "inputs": self.inputs,
            "segments": self.segments,
            "scratch": self.scratch,
            "kept": self.kept,
            "readers": list(self.readers.items()),
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Code:
        segments: list[Segment] = [
            s
            if isinstance(s, int)
            else [Wave(alone, [Call(*c) for c in calls]) for alone, calls in s]
            for s in found["segments"]
        ]
        return cls(
            found["library"], found["addresses"], found["nbytes"], found["inputs"], segments,
            found["scratch"], found["kept"], dict(found["readers"]),
        )  # fmt: skip


class Draft:
    """Code on its way: it lacks the library, whose sources are `texts`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._unit = Unit(plan.launches)
        self.texts = self._unit.texts

    def finish(self, library: str) -> Code:
        segments: list[Segment] = []
        scratch = 0
        for found in self._cut():
            if isinstance(found, int):
                segments.append(found)
            else:
                segments.append([self._wave(wave) for wave in found.waves])
                scratch = max(scratch, found.scratch)
        launches = self._plan.launches
        addresses = [_addresses(launch) for launch in launches]
        nbytes = [[slot.type.nbytes for slot in _slots(launch)] for launch in launches]
        inputs = [len(launch.inputs) for launch in launches]
        kept = [0 if kernel is None else kernel.kept for kernel in self._unit.kernels]
        all_is_c = all(kernel is not None for kernel in self._unit.kernels)
        readers = readers_of(self._plan) if all_is_c else {}
        return Code(library, addresses, nbytes, inputs, segments, scratch, kept, readers)

    def _cut(self) -> list[Schedule | int]:
        """Schedules, and the launches between them."""
        found: list[Schedule | int] = []
        pending: list[tuple[int, Launch, Kernel]] = []
        for index, kernel in enumerate(self._unit.kernels):
            if kernel is not None:
                pending.append((index, self._plan.launches[index], kernel))
                continue
            if pending:
                found.append(schedule(pending))
                pending = []
            found.append(index)
        return [*found, schedule(pending)] if pending else found

    def _wave(self, entries: Sequence[Entry]) -> Wave:
        calls = [self._call(entry) for entry in entries]
        small = sum(entry.work for entry in entries) < ALONE
        return Wave(small or sum(call.parts for call in calls) == 1, calls)

    def _call(self, entry: Entry) -> Call:
        kernel = self._unit.kernels[entry.launch]
        assert kernel is not None
        phase = kernel.phases[entry.phase]
        name, numbers = self._unit.calls[entry.launch][entry.phase]
        refuses = "GW_REFUSE" in phase.body
        work = 1 + entry.work // phase.parts
        return Call(entry.launch, name, phase.parts, work, entry.scratch, refuses, numbers)


def _addresses(launch: Launch) -> list[Address]:
    return [(slot.place.buffer, slot.place.offset) for slot in _slots(launch)]


def _slots(launch: Launch) -> tuple[Slot, ...]:
    return (*launch.inputs, *launch.outputs)


def _waves(found: list[Any]) -> list[Wave]:
    return [Wave(alone, [Call(*call) for call in calls]) for alone, calls in found]

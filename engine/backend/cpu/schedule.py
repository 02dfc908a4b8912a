"""Waves: launches that do not touch each other's memory, so that their parts run side by side.

A launch goes into the first wave after all that it depends on: those before it in the plan that
write what it reads, or that read or write what it writes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.backend.cpu.kernels import Kernel
from engine.compile.plan import Launch, Slot
from engine.ir.passes.overlap import Span, span

#: Work of a wave, in operations, that one thread does sooner than it would wake another.
ALONE = 24_000
LINE = 64  # scratch memory of two launches never shares a cache line


@dataclass(frozen=True, slots=True)
class Entry:
    """One phase of a launch. scratch: where its memory begins in the workspace."""

    launch: int
    phase: int
    scratch: int
    work: int


@dataclass(slots=True)
class Schedule:
    """waves: entries that may run side by side, most work first. scratch: bytes of workspace."""

    waves: list[list[Entry]] = field(default_factory=list)
    scratch: int = 0


def schedule(launches: Sequence[tuple[int, Launch, Kernel]]) -> Schedule:
    """Waves for launches, each with its index in the plan."""
    accesses = _Accesses(launch for _, launch, _ in launches)
    made = Schedule()
    ends: list[int] = []  # of the scratch memory in use, by wave
    for index, launch, kernel in launches:
        count = len(kernel.phases)
        first = accesses.enter(launch, count)
        while len(made.waves) < first + count:
            made.waves.append([])
            ends.append(0)
        place = max(ends[first : first + count])
        if kernel.scratch:
            end = place + -(-kernel.scratch // LINE) * LINE
            ends[first : first + count] = [end] * count
            made.scratch = max(made.scratch, end)
        even = work_of(launch) // count
        for number, phase in enumerate(kernel.phases):
            work = even if phase.work is None else phase.work
            made.waves[first + number].append(Entry(index, number, place, work))
    for wave in made.waves:
        wave.sort(key=lambda entry: -entry.work)
    return made


def work_of(launch: Launch) -> int:
    """Operations that a launch takes, roughly; moving memory counts, too."""
    moved = sum(slot.type.nbytes for slot in (*launch.inputs, *launch.outputs))
    return launch.flops + moved // 8


class _Accesses:
    """For every stretch of memory, the wave after which it may be read, and written."""

    def __init__(self, launches: Iterable[Launch]) -> None:
        bounds: dict[int, set[int]] = {}
        for launch in launches:
            for slot in (*launch.inputs, *launch.outputs):
                at = span_of(slot)
                bounds.setdefault(at.buffer, set()).update((at.low, at.high))
        self._bounds = {buffer: sorted(found) for buffer, found in bounds.items()}
        self._written = {b: np.zeros(len(found), np.int64) for b, found in self._bounds.items()}
        self._read = {b: np.zeros(len(found), np.int64) for b, found in self._bounds.items()}

    def enter(self, launch: Launch, count: int) -> int:
        """The first wave of a launch that takes `count` waves one after another."""
        reads = [self._stretch(slot) for slot in launch.inputs]
        writes = [self._stretch(slot) for slot in launch.outputs]
        first = 0
        for buffer, part in reads:
            first = max(first, int(self._written[buffer][part].max(initial=0)))
        for buffer, part in writes:
            first = max(first, int(self._written[buffer][part].max(initial=0)))
            first = max(first, int(self._read[buffer][part].max(initial=0)))
        for buffer, part in reads:
            np.maximum(self._read[buffer][part], first + count, out=self._read[buffer][part])
        for buffer, part in writes:
            self._written[buffer][part] = first + count
        return first

    def _stretch(self, slot: Slot) -> tuple[int, slice]:
        at = span_of(slot)
        bounds = self._bounds[at.buffer]
        return at.buffer, slice(bisect_left(bounds, at.low), bisect_left(bounds, at.high))


def span_of(slot: Slot) -> Span:
    return span(slot.type, slot.place)

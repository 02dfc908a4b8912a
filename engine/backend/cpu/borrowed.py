"""Inputs that launches read in the caller's memory, in place of a copy in the arena.

A copy takes its time twice: it is made by one thread, and what other threads read of it is theirs
no longer when the next one is to be written.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from engine.backend.cpu.schedule import span_of
from engine.compile.plan import Plan
from engine.ir.passes.memory import ARENA

#: Bytes from which an address is sooner changed than numbers are copied.
LEAST = 8192
#: A launch, which of its tensors, and how many bytes of the input lie before it.
Reader = tuple[int, int, int]


def readers_of(plan: Plan) -> dict[int, list[Reader]]:
    """Who reads each large input that is fed, before other values lie in its place. Those that are
    there at the end, where results may lie in them, are left out."""
    found: dict[int, list[Reader]] = {}
    for index, given in enumerate(plan.inputs):
        if given.place.buffer != ARENA or given.type.nbytes < LEAST:
            continue
        whole, readers = span_of(given), []
        for number, launch in enumerate(plan.launches):
            readers += [
                (number, position, slot.place.offset - given.place.offset)
                for position, slot in enumerate(launch.inputs)
                if span_of(slot).meets(whole)
            ]
            if any(span_of(slot).meets(whole) for slot in launch.outputs):
                break
        else:
            if any(span_of(slot).meets(whole) for slot in plan.outputs):
                continue
        found[index] = readers
    return found


class Borrowed:
    """One such input. view: its place in the arena. tables: the addresses that each reader has."""

    def __init__(
        self, index: int, view: np.ndarray, readers: list[Reader], tables: list[list[Any]]
    ) -> None:
        self.index, self.view = index, view
        self._readers = {launch for launch, _, _ in readers}
        self._own = self._now = _address(view)
        self._places = [
            (table, position, offset)
            for (_, position, offset), known in zip(readers, tables, strict=True)
            for table in known
        ]

    def turn_to(self, array: Any) -> bool:
        """Let launches read an array. Where they cannot, they read the arena: copy it there."""
        flags, view = array.flags, self.view
        fits: bool = flags.c_contiguous and flags.aligned
        fits = fits and array.dtype == view.dtype and array.shape == view.shape
        now = _address(array) if fits else self._own
        if now != self._now:
            self._now = now
            for table, position, offset in self._places:
                table[position] = now + offset
        return fits

    def give_back(self, array: Any, launches: Collection[int]) -> None:
        """Copy it to where references look for it, if one of these launches still reads it."""
        if self._now != self._own and not self._readers.isdisjoint(launches):
            self.view[...] = array


def _address(array: Any) -> int:
    found: int = array.__array_interface__["data"][0]
    return found

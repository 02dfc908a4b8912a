"""Room for blocks of memory whose lives are known, in one arena.

Two packings are tried: in the order of time, into the gap that fits best, and, where that wastes
something, by size, the largest first. Dynamic storage allocation with known lifetimes is NP-hard
(Garey and Johnson 1979, SR2); both come within a few percent of the most that lives at one time.

Where it costs little more, only blocks of one size share room. Threads share them all alike, so a
processor meets the same lines of memory in each: what another one had takes several times as long
to write.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

#: Every block starts at a multiple of this many bytes: a cache line, and the widest vectors.
ALIGNMENT = 64
#: Packing by size is tried where packing in order takes this much more than what lives at once.
WASTE = 1.01
#: Packing by size looks at all pairs; beyond this many blocks it is left.
MANY = 4000
#: Bytes that an arena may take more than the tightest one, for blocks of one size to be apart.
SPARE = 2**20
#: Bytes behind a block of a page or more: processors take a load that lies a multiple of a page
#: behind a store for one of what was stored, and blocks of one size are worked on side by side.
PAGE, STAGGER = 4096, 7 * ALIGNMENT


@dataclass(eq=False, slots=True)
class Block:
    """Memory in use from time `start` up to and with time `end`."""

    start: int
    end: int
    nbytes: int
    offset: int = 0


class Arena:
    """Takes and gives back blocks by offset; `size` is how far the arena has had to reach."""

    def __init__(self) -> None:
        self.size = 0
        self._gaps: list[tuple[int, int]] = []  # (offset, bytes), by offset, never touching

    def take(self, nbytes: int) -> int:
        """The offset of a free block of at least `nbytes`: of the smallest gap that has room."""
        wanted = aligned(nbytes)
        if wanted == 0:
            return 0
        fitting = [(size, at) for at, (_, size) in enumerate(self._gaps) if size >= wanted]
        if fitting:
            size, at = min(fitting)
            offset = self._gaps[at][0]
            if size == wanted:
                del self._gaps[at]
            else:
                self._gaps[at] = (offset + wanted, size - wanted)
            return offset
        return self._extend(wanted)

    def give(self, offset: int, nbytes: int) -> None:
        """Return a block that `take(nbytes)` gave."""
        size = aligned(nbytes)
        if size == 0:
            return
        at = bisect_left(self._gaps, (offset, 0))
        if at < len(self._gaps) and offset + size == self._gaps[at][0]:
            size += self._gaps.pop(at)[1]
        if at and sum(self._gaps[at - 1]) == offset:
            offset, before = self._gaps.pop(at - 1)
            size += before
        insort(self._gaps, (offset, size))

    def _extend(self, wanted: int) -> int:
        offset = self.size
        if self._gaps and sum(self._gaps[-1]) == self.size:
            offset = self._gaps.pop()[0]
        self.size = offset + wanted
        return offset


class Kinds:
    """An arena in which a block lies where one of its size went last, or behind all others."""

    def __init__(self) -> None:
        self.size = 0
        self._free: dict[int, list[int]] = {}  # offsets, by bytes

    def take(self, nbytes: int) -> int:
        wanted = aligned(nbytes)
        if self._free.get(wanted):
            return self._free[wanted].pop()
        offset = self.size
        self.size += wanted + (STAGGER if wanted >= PAGE else 0)
        return offset

    def give(self, offset: int, nbytes: int) -> None:
        self._free.setdefault(aligned(nbytes), []).append(offset)


def aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def pack(blocks: Sequence[Block]) -> tuple[int, int]:
    """Give every block its offset; (bytes of the arena, most bytes that live at one time)."""
    size, live = pack_tightly(blocks)
    held = [block.offset for block in blocks]
    apart = pack_by_kind(blocks)
    if apart <= size + SPARE:
        return apart, live
    for block, offset in zip(blocks, held, strict=True):
        block.offset = offset
    return size, live


def pack_tightly(blocks: Sequence[Block]) -> tuple[int, int]:
    """The better of both packings; (bytes of the arena, most bytes that live at one time)."""
    size, live = pack_in_order(blocks)
    if size > live * WASTE and len(blocks) <= MANY:
        held = [block.offset for block in blocks]
        tighter = pack_by_size(blocks)
        if tighter < size:
            return tighter, live
        for block, offset in zip(blocks, held, strict=True):
            block.offset = offset
    return size, live


def pack_in_order(blocks: Sequence[Block], arena: Arena | Kinds | None = None) -> tuple[int, int]:
    """Blocks as they come and go; (bytes of the arena, most bytes that live at one time)."""
    arena = arena or Arena()
    ending: list[tuple[int, int, Block]] = []
    now = live = 0
    for number, block in enumerate(sorted(blocks, key=lambda block: block.start)):
        while ending and ending[0][0] < block.start:
            gone = heappop(ending)[2]
            arena.give(gone.offset, gone.nbytes)
            now -= aligned(gone.nbytes)
        block.offset = arena.take(block.nbytes)
        now += aligned(block.nbytes)
        live = max(live, now)
        heappush(ending, (block.end, number, block))
    return arena.size, live


def pack_by_kind(blocks: Sequence[Block]) -> int:
    """Blocks as they come and go, each where one of its size went last; bytes of the arena."""
    return pack_in_order(blocks, Kinds())[0]


def pack_by_size(blocks: Sequence[Block]) -> int:
    """The largest block first, each into the gap that fits best; bytes of the arena.

    Pisarchyk and Lee, "Efficient memory management for deep neural net inference" (2020).
    """
    start, end, low, high = (np.zeros(len(blocks), np.int64) for _ in range(4))
    ordered = sorted(blocks, key=lambda block: (-block.nbytes, block.start))
    for n, block in enumerate(ordered):
        meeting = (start[:n] <= block.end) & (end[:n] >= block.start)
        wanted = aligned(block.nbytes)
        block.offset = _best_gap(low[:n][meeting], high[:n][meeting], wanted) if wanted else 0
        start[n], end[n] = block.start, block.end
        low[n], high[n] = block.offset, block.offset + wanted
    return int(high.max(initial=0))


def _best_gap(low: np.ndarray, high: np.ndarray, wanted: int) -> int:
    """The start of the smallest gap of at least `wanted` bytes between ranges that may overlap."""
    order = np.argsort(low, kind="stable")
    starts = np.concatenate([[0], np.maximum.accumulate(high[order])])
    gaps = np.append(low[order], np.iinfo(np.int64).max) - starts
    fitting = np.flatnonzero(gaps >= wanted)
    return int(starts[fitting[np.argmin(gaps[fitting])]])

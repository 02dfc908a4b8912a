"""How a matrix product is cut into parts: a grid of rows by columns, chosen from shapes alone.

A part packs the columns it reads, and rows where they are transposed, so narrow parts repeat work
and large ones leave threads idle. The grid is that of the least time by a count of cycles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

#: What the largest tile of the kernel takes: rows, and columns of a panel; and of how many a tile
#: may be without waste.
TALL, WIDE = 12, 32
FEW_ROWS, FEW_COLUMNS = 4, 16
#: Cycles that a part costs beside its work; that a number of a panel takes, and one of a row; and
#: one of either where rows are turned, so that both matrices are read along what is stored.
PART_CYCLES = 1200
PANEL, PLAIN, TURNED = 0.4, 0.1, 0.2
#: The same of a number of the result that another thread will read: optimizers share what they
#: update by its place in memory, by rows, and so what is cut across moves between processors.
MOVED = 1.5
#: The same where zeros are left out: rows that are looked at together, cycles that a number of one
#: takes, as it lies and turned, columns of a panel, share of the work that is done, and columns
#: that cost as much as to fetch a number that is not 0.
ROWS, LOOK, TURNED_LOOK, BROAD, DONE, FETCHED = 16, 0.1, 0.5, 128, 0.6, 16
#: Numbers of threads that a grid should suit, and how much each of them counts.
CROWDS = ((1, 1.0), (2, 2.0), (4, 1.0), (8, 1.0))
_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16)
MOST_PARTS = 32


@dataclass(frozen=True, slots=True)
class Cut:
    """`length` rows or columns shared by `parts`, in multiples of `grain`, as evenly as they go."""

    length: int
    parts: int
    grain: int

    @property
    def most(self) -> int:
        """What the largest part takes."""
        return min(self.length, -(-self._units // self.parts) * self.grain)

    @property
    def even(self) -> bool:
        """Whether all take the same."""
        return self.most * self.parts == self.length

    def start(self, place: str) -> str:
        """Where a part begins, as C; that of the part after the last is behind the end."""
        return f"{place} * {self._units} / {self.parts} * {self.grain}"

    @property
    def _units(self) -> int:
        return -(-self.length // self.grain)


@dataclass(frozen=True, slots=True)
class Grid:
    down: Cut
    across: Cut

    @property
    def parts(self) -> int:
        return self.down.parts * self.across.parts


@lru_cache(4096)
def grid_of(
    rows: int,
    columns: int,
    depth: int,
    turned: bool,
    sparse: tuple[bool, bool] = (False, False),
    times: int = 1,
) -> Grid:
    """The grid of [rows, depth] @ [depth, columns]; turned: rows are columns of what is stored.

    sparse: of the left and of the right matrix, whether many numbers are likely to be 0.
    times: how many such products run side by side.
    """
    left, right = sparse

    def cycles(grid: Grid) -> float:
        if not left and not right:
            return _cycles(grid, depth, turned)
        found = [_sparse_cycles(grid, depth, turned)] if left else []
        if right:
            found.append(_sparse_cycles(Grid(grid.across, grid.down), depth, True))
        return max(found)

    def cost(grid: Grid) -> float:
        moves = MOVED * rows * columns / grid.parts if turned and grid.across.parts > 1 else 0
        return _total(grid.parts * times, cycles(grid) + moves)

    grains = (ROWS,) if left or right else (TALL, FEW_ROWS)
    grids = [
        Grid(down, across)
        for down in _cuts(rows, *grains)
        for across in _cuts(columns, WIDE)
        if down.parts * across.parts <= MOST_PARTS
    ]
    return min(grids, key=lambda grid: (cost(grid), grid.parts, grid.across.parts))


def cut_evenly(length: int, parts: int, grain: int) -> Cut:
    """At most so many parts: none of them is empty."""
    return Cut(length, max(1, min(parts, -(-length // grain))), grain)


def _cuts(length: int, *grains: int) -> Iterator[Cut]:
    found = (cut_evenly(length, count, grain) for grain in grains for count in _COUNTS)
    return iter(dict.fromkeys(found))


def _cycles(grid: Grid, depth: int, turned: bool) -> float:
    """Of one part."""
    height, width = _up(grid.down.most, FEW_ROWS), _up(grid.across.most, FEW_COLUMNS)
    packing = TURNED * (width + height) if turned else PANEL * width + PLAIN * height
    return depth * (height * width / 16 + packing)


def _sparse_cycles(grid: Grid, depth: int, turned: bool) -> float:
    height, width = grid.down.most, _up(grid.across.most, FEW_COLUMNS)
    packing = depth * (PANEL * width + (TURNED_LOOK if turned else LOOK) * height)
    panels = -(-width // BROAD)
    return DONE * height * (width + panels * FETCHED) * depth / 16 + packing


def _total(parts: int, cycles: float) -> float:
    """Of so many parts, each of so many cycles, for crowds of threads."""
    each = cycles + PART_CYCLES
    return sum(weight * -(-parts // threads) * each for threads, weight in CROWDS)


def _up(length: int, grain: int) -> int:
    return -(-length // grain) * grain

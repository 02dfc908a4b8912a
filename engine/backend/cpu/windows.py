"""How the windows of a convolution lie on its images, as the C of `runtime/conv.h` has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from engine.backend.convolution import Geometry

ROWS, PANEL, WIDE = 8, 48, 16  # as in conv.h and vectors.h

Three = tuple[int, int, int]


def three(values: Sequence[int], fill: int) -> Three:
    """A value for each of three axes; images of fewer axes have leading ones of length 1."""
    first, second, third = (*(fill,) * (3 - len(values)), *values)
    return first, second, third


def outer_rows(rows: int, lanes: int) -> int:
    """As `gw_outer_rows` of conv.h."""
    return round_up(rows, 24 if lanes // 16 % 4 == 3 else 12)


def round_up(n: int, step: int) -> int:
    return -(-n // step) * step


@dataclass(frozen=True)
class Windows:
    """How a grid of positions looks at images; as `GwWindows`."""

    channels: int  # of an image, over all groups
    size: Three
    grid: Three
    step: Three
    offsets: tuple[Three, ...]

    @property
    def places(self) -> int:
        return prod(self.grid)

    def reordered(self, order: Sequence[int]) -> Windows:
        return replace(self, offsets=tuple(self.offsets[i] for i in order))

    def text(self, name: str) -> str:
        offsets = self.offsets or ((0, 0, 0),)
        rows = ", ".join(map(braced, offsets))
        plane = prod(self.size)
        fields = (
            f"{self.channels * plane}, {braced(self.size)}, {plane}, {braced(self.grid)}, "
            f"{self.places}, {braced(self.step)}, {len(self.offsets)}, {name}_offset"
        )
        return (
            f"static const int32_t {name}_offset[][3] = {{{rows}}};\n"
            f"const GwWindows {name} = {{{fields}}};"
        )


@dataclass(frozen=True)
class Target:
    """Where the positions of a grid go; as `GwTarget`."""

    channels: int
    size: Three
    step: Three
    start: Three

    def text(self, name: str) -> str:
        plane = prod(self.size)
        dense = int(self.step == (1, 1, 1))
        return (
            f"const GwTarget {name} = {{{self.channels * plane}, {plane}, "
            f"{braced(self.size)}, {braced(self.step)}, {braced(self.start)}, {dense}}};"
        )


@dataclass(frozen=True)
class Job:
    """A convolution of stored weights: what it looks at, where it goes, where its taps stand."""

    windows: Windows
    target: Target
    taps: tuple[int, ...]


def braced(values: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, values)) + "}"


def forward_windows(geometry: Geometry, channels: int) -> Windows:
    offsets = tuple(
        three([t * d - lo for t, d, (lo, _) in _along(geometry, tap)], 0) for tap in geometry.taps
    )
    return Windows(
        channels, three(geometry.size, 1), three(geometry.output, 1), three(geometry.stride, 1),
        offsets,
    )  # fmt: skip


def _along(geometry: Geometry, tap: tuple[int, ...]) -> list[tuple[int, int, tuple[int, int]]]:
    return list(zip(tap, geometry.dilation, geometry.padding, strict=True))


def forward_job(geometry: Geometry, channels: int, outputs: int) -> Job:
    target = Target(outputs, three(geometry.output, 1), (1, 1, 1), (0, 0, 0))
    return Job(forward_windows(geometry, channels), target, tuple(range(len(geometry.taps))))


def backward_jobs(geometry: Geometry, channels: int, outputs: int) -> list[Job]:
    """One for each lattice of the input that has elements."""
    jobs = []
    for start in product(*(range(s) for s in geometry.stride)):
        sizes = zip(geometry.size, start, geometry.stride, strict=True)
        grid = [len(range(r, n, s)) for n, r, s in sizes]
        if 0 not in grid:
            jobs.append(_lattice(geometry, channels, outputs, start, grid))
    return jobs


def _lattice(
    geometry: Geometry, channels: int, outputs: int, start: tuple[int, ...], grid: list[int]
) -> Job:
    offsets, taps = [], []
    for place, tap in enumerate(geometry.taps):
        away = [
            r + lo - t * d for r, (t, d, (lo, _)) in zip(start, _along(geometry, tap), strict=True)
        ]
        if all(a % s == 0 for a, s in zip(away, geometry.stride, strict=True)):
            offsets.append(three([a // s for a, s in zip(away, geometry.stride, strict=True)], 0))
            taps.append(place)
    windows = Windows(outputs, three(geometry.output, 1), three(grid, 1), (1, 1, 1), tuple(offsets))
    target = Target(channels, three(geometry.size, 1), three(geometry.stride, 1), three(start, 0))
    return Job(windows, target, tuple(taps))

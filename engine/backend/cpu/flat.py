"""Convolutions that read a channel with its surroundings in place of panels (`runtime/flat.h`).

Worth it where copying windows into panels would cost more than the products: few channels, few
results, strides along long axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from engine.backend.cpu.after import After
from engine.backend.cpu.kernels import Kernel, Phase, calling, cut, declare, scratch_pointer
from engine.backend.cpu.windows import (
    PANEL,
    ROWS,
    WIDE,
    Job,
    Three,
    Windows,
    braced,
    round_up,
)
from engine.compile.plan import Launch

WASTE = 1.2  # positions that are counted through, at most, for one that is wanted
LEAST = 48  # positions
MOST_SEEN = 1 << 17  # numbers of an image with its surroundings
MOST_DEPTH = 600
MOST_SUMS = 1 << 18  # numbers of the sums of one chunk
BAND = 512  # positions worked on at a time
TILE = 24
CHUNKS = 8
HEADERS = ("flat.h",)


@dataclass(frozen=True)
class Flat:
    """Windows over phases of an image; as `GwFlat`."""

    windows: Windows

    @cached_property
    def origin(self) -> Three:
        first, second, third = (min(o[axis] for o in self.windows.offsets) for axis in range(3))
        return first, second, third

    @cached_property
    def taps(self) -> list[tuple[Three, Three]]:
        """(phase, place in it) of every tap of the first window."""
        found = []
        for offset in self.windows.offsets:
            away = [o - lo for o, lo in zip(offset, self.origin, strict=True)]
            parts = [divmod(a, s) for a, s in zip(away, self.windows.step, strict=True)]
            (a, p), (b, q), (c, r) = parts
            found.append(((p, q, r), (a, b, c)))
        return found

    @cached_property
    def phases(self) -> list[Three]:
        return sorted({phase for phase, _ in self.taps})

    @cached_property
    def extent(self) -> Three:
        first, second, third = (
            self.windows.grid[axis] + max(place[axis] for _, place in self.taps)
            for axis in range(3)
        )
        return first, second, third

    @property
    def pitch(self) -> int:
        return prod(self.extent) * len(self.phases)

    @property
    def length(self) -> int:
        z, y, x = self.windows.grid
        _, high, across = self.extent
        return ((z - 1) * high + y - 1) * across + x

    @property
    def seen(self) -> int:
        """Numbers of a channel's phases are followed by others: so many more may be read."""
        return 2 * PANEL

    @property
    def band(self) -> int:
        """Whole rows, so many that tiles leave little over; or part of a long row."""
        across = self.extent[2]
        if self.length <= BAND:
            return self.length
        if across > BAND:
            return BAND // TILE * TILE
        counts = range(1, BAND // across + 1)
        return across * min(counts, key=lambda n: (round_up(n * across, TILE) / n, -n))

    def text(self, name: str) -> str:
        windows, (_, high, across) = self.windows, self.extent
        places = [
            self.phases.index(phase) * prod(self.extent) + (a * high + b) * across + c
            for phase, (a, b, c) in self.taps
        ]
        fields = (
            f"{braced(windows.size)}, {prod(windows.size)}, {braced(self.origin)}, "
            f"{braced(windows.step)}, {braced(self.extent)}, {self.pitch}, {braced(windows.grid)}, "
            f"{self.length}, {len(self.phases)}, {len(places)}, {name}_phase, {name}_at"
        )
        return (
            f"static const int32_t {name}_phase[][3] = "
            f"{{{', '.join(map(braced, self.phases))}}};\n"
            f"static const int32_t {name}_at[] = {braced(places)};\n"
            f"const GwFlat {name} = {{{fields}}};"
        )

    def fits(self, channels: int) -> bool:
        """Whether there is little to do between the rows, and an image stays in the cache."""
        if not self.windows.offsets or self.windows.places < LEAST:
            return False
        depth, waste = channels * len(self.windows.offsets), self.length / self.windows.places
        return waste <= WASTE and depth <= MOST_DEPTH and channels * self.pitch <= MOST_SEEN


def fits(job: Job, channels: int) -> bool:
    return bool(job.windows.offsets) and Flat(job.windows).fits(channels)


def making(
    job: Job, images: int, groups: int, channels: int, rows: int, packed: tuple[int, int],
    after: After, first: int,
) -> tuple[str, int]:  # fmt: skip
    """C for the parts from `first` on, and their number; `packed`: where weights of this job
    begin, and how far those of two groups are apart."""
    flat, target, taps = Flat(job.windows), job.target, len(job.taps)
    across, some = cut(images, images * rows * channels * taps * flat.length)
    work = some * flat.length * channels * taps * rows
    wanted = max(1, min(8 // across, rows // ROWS, work // 250_000))
    stripe = round_up(-(-rows // wanted), ROWS)
    each, seen = across * -(-rows // stripe), channels * flat.pitch + flat.seen
    sums = ROWS * round_up(flat.band, PANEL)
    plane = prod(target.size)
    start = f"(group * {rows} + row)"
    place = f"((n * {groups} + group) * {rows} + row) * {plane}"
    text = f"""if (part >= {first} && part < {first + each * groups}) {{
{flat.text("flat")}
{target.text("target")}
float* seen = gw_workspace({4 * (seen + sums)});
if (!seen) {{ GW_REFUSE(); return; }}
int64_t group = (part - {first}) / {each}, from = (part - {first}) % {across} * {some};
int64_t row = (part - {first}) % {each} / {across} * {stripe};
for (int64_t n = from; n < GW_MIN(from + {some}, {images}); n++) {{
gw_flat_spread(&flat, x0 + (n * {groups} + group) * {channels * prod(job.windows.size)}, {channels},
               seen);
{after.text(start, place)}
gw_flat_convolve(&flat, &target, seen, packed + {packed[0]} + group * {packed[1]}
                                           + row * {channels * taps},
                 &after, y0 + {place}, {channels},
                 GW_MIN({stripe}, {rows} - row), {flat.band}, seen + {seen});
}}
}}"""
    return text, each * groups


def fits_weight(windows: Windows, channels: int, rows: int) -> bool:
    depth = channels * len(windows.offsets)
    flat = Flat(windows)
    if not flat.fits(channels) or rows * round_up(flat.length, WIDE) > MOST_SEEN:
        return False
    return depth * round_up(rows, 4) * WIDE <= MOST_SUMS


def weight_kernel(
    launch: Launch, windows: Windows, images: int, groups: int, channels: int, rows: int
) -> Kernel:
    """Chunks of images, each with sums of its own; then all of them are added in order."""
    flat, taps = Flat(windows), len(windows.offsets)
    depth, padded, length = channels * taps, round_up(rows, 4), round_up(flat.length, WIDE)
    chunks = max(1, min(images, CHUNKS, images * groups * depth * rows * length // 250_000))
    some = -(-images // chunks)
    chunks = -(-images // some)
    seen, sums = channels * flat.pitch + flat.seen, depth * padded * WIDE
    head = f"""{declare(launch)}
float* sums = (void*){scratch_pointer(launch)};"""
    plain = windows.grid[:2] == (1, 1) and windows.grid[2] == length and rows == padded
    at = f"x1 + (n * {groups} + group) * {rows * windows.places}"
    clear, flows = "", f"const float* flows = {at};"
    if not plain:
        clear = f"float* flows = seen + {seen};\nmemset(flows, 0, {4 * padded * length});"
        flows = f"gw_flat_flows(&flat, {at}, {windows.places}, {rows}, {length}, flows);"
    making = f"""{flat.text("flat")}
float* seen = gw_workspace({4 * (seen + padded * length)});
if (!seen) {{ GW_REFUSE(); return; }}
int64_t group = part / {chunks}, from = part % {chunks} * {some};
sums += part * {sums};
memset(sums, 0, {4 * sums});
memset(seen, 0, {4 * seen});
{clear}
for (int64_t n = from; n < GW_MIN(from + {some}, {images}); n++) {{
gw_flat_spread(&flat, x0 + (n * {groups} + group) * {channels * prod(windows.size)}, {channels},
               seen);
{flows}
gw_flat_weight(&flat, seen, flows, {channels}, {padded}, {length}, sums);
}}"""
    parts, size = cut(depth, sums * chunks)
    closing = f"""int64_t group = part / {parts}, from = part % {parts} * {size};
gw_flat_close(sums + group * {chunks * sums}, {chunks}, {sums}, {padded}, {rows}, {depth}, from,
              GW_MIN(from + {size}, {depth}), y0 + group * {rows * depth});"""
    phases = (
        Phase(f"{head}\n{making}", groups * chunks),
        Phase(f"{head}\n{closing}", groups * parts),
    )
    return calling(Kernel(phases, 4 * groups * chunks * sums, HEADERS))

"""Convolutions whose groups have hardly any channels: a channel at a time, no panels.

A channel is copied with zeros around it, then every result is a chain of products over the taps.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from engine.backend.cpu.after import After
from engine.backend.cpu.kernels import Kernel, cut, declare, one
from engine.backend.cpu.shares import share
from engine.backend.cpu.windows import WIDE, Job, Three, Windows, braced, round_up
from engine.compile.plan import Launch

FEW = 4  # channels and rows of a group
MOST_TAPS = 64
MOST_NUMBERS = 1 << 18  # of a channel with its surroundings
HEADERS = ("depthwise.h",)


@dataclass(frozen=True)
class Surroundings:
    """A channel with all that windows see of it, the last axis filled up."""

    windows: Windows
    wide: bool = False

    @property
    def origin(self) -> Three:
        first, second, third = (min(o[axis] for o in self.windows.offsets) for axis in range(3))
        return first, second, third

    @property
    def extent(self) -> Three:
        windows = self.windows
        grid = (*windows.grid[:2], round_up(windows.grid[2], WIDE if self.wide else 1))
        first, second, third = (
            (grid[axis] - 1) * windows.step[axis]
            + max(o[axis] for o in windows.offsets) - self.origin[axis] + 1
            for axis in range(3)
        )  # fmt: skip
        return first, second, third

    def place(self, tap: int) -> int:
        """Where the first window has a tap."""
        z, y, x = (o - lo for o, lo in zip(self.windows.offsets[tap], self.origin, strict=True))
        return (z * self.extent[1] + y) * self.extent[2] + x

    def text(self) -> str:
        return f"""static const int64_t size[] = {braced(self.windows.size)};
static const int64_t origin[] = {braced(self.origin)}, extent[] = {braced(self.extent)};
float* seen = gw_workspace({4 * prod(self.extent)});
if (!seen) {{ GW_REFUSE(); return; }}"""

    def rows(self) -> str:
        """Loops over rows of windows; `from` is where the first of them starts."""
        windows = self.windows
        pitch = windows.step[0] * self.extent[1] * self.extent[2]
        row = windows.step[1] * self.extent[2]
        return f"""for (int64_t z = 0; z < {windows.grid[0]}; z++)
for (int64_t y = 0; y < {windows.grid[1]}; y++) {{
const float* restrict from = seen + z * {pitch} + y * {row};"""


def fits(job: Job, groups: int, channels: int, rows: int) -> bool:
    taps = len(job.windows.offsets)
    if groups == 1 or max(channels, rows) > FEW or not 0 < taps <= MOST_TAPS:
        return False
    return prod(Surroundings(job.windows, wide=True).extent) <= MOST_NUMBERS


def kernel(
    launch: Launch, jobs: list[Job], images: int, groups: int, channels: int, rows: int,
    strides: tuple[int, int, int], after: After,
) -> Kernel:  # fmt: skip
    """Jobs of the same weights. strides: of the weight, from group, row and channel to the next."""
    count = images * groups
    work = 2 * count * channels * rows * sum(j.windows.places * len(j.taps) for j in jobs)
    parts, size = cut(count, work)
    bodies = [_job(job, groups, channels, rows, strides, after) for job in jobs]
    text = f"{share('each', count, size)} {{\nconst int64_t n = each / {groups}, " \
           f"group = each % {groups};\n(void)n;\n" + "\n".join(bodies) + "\n}"  # fmt: skip
    return one(f"{declare(launch)}\n{text}", parts, headers=HEADERS)


def _job(
    job: Job, groups: int, channels: int, rows: int, strides: tuple[int, int, int], after: After
) -> str:
    seen, target = Surroundings(job.windows), job.target
    step, (depth, high, across) = job.windows.step[2], target.size
    chain = "h"
    for tap in range(len(job.taps)):
        chain = f"fmaf(w{tap}, from[i * {step} + {seen.place(tap)}], {chain})"
    at = f"group * {strides[0]} + r * {strides[1]} + c * {strides[2]}"
    weights = "\n".join(f"const float w{i} = x1[{at} + {t}];" for i, t in enumerate(job.taps))
    place = f"(z * {target.step[0]} + {target.start[0]}) * {high}"
    place = f"({place} + y * {target.step[1]} + {target.start[1]}) * {across} + {target.start[2]}"
    row, channel = f"(n * {groups * rows} + group * {rows} + r)", f"[group * {rows} + r]"
    beginning, steps = after.steps(channel, f"[{row} * {depth * high * across} + {place} + at]")
    first = f"c ? to[at] : {beginning}" if channels > 1 else beginning
    last = "\n".join(steps)
    if steps and channels > 1:
        last = f"if (c == {channels - 1}) {{\n{last}\n}}"
    return f"""{{
{seen.text()}
for (int64_t c = 0; c < {channels}; c++) {{
gw_padded(x0 + (n * {groups * channels} + group * {channels} + c) * {prod(job.windows.size)}, size,
          origin, extent, seen);
for (int64_t r = 0; r < {rows}; r++) {{
{weights}
{seen.rows()}
float* restrict to = y0 + {row} * {depth * high * across} + {place};
for (int64_t i = 0; i < {job.windows.grid[2]}; i++) {{
const int64_t at = i * {target.step[2]};
const float h = {first};
float v = {chain};
{last}
to[at] = v;
}}
}}
}}
}}
}}"""


def weight_kernel(
    launch: Launch, windows: Windows, images: int, groups: int, channels: int, rows: int
) -> Kernel:
    """Sums of sixteen lanes for every tap, over the images in order."""
    seen, taps = Surroundings(windows, wide=True), len(windows.offsets)
    count, pairs = groups * channels * rows, channels * rows
    parts, size = cut(count, 2 * count * images * windows.places * taps)
    wide = round_up(windows.grid[2], WIDE)
    lines = "\n".join(
        f"for (int j = 0; j < {WIDE}; j++) s[{tap}][j] = "
        f"fmaf(flow[i + j], from[(i + j) * {windows.step[2]} + {seen.place(tap)}], s[{tap}][j]);"
        for tap in range(taps)
    )
    text = f"""{seen.text()}
{share("each", count, size)} {{
const int64_t group = each / {pairs}, r = each / {channels} % {rows}, c = each % {channels};
float s[{taps}][{WIDE}], flow[{wide}];
double total[{taps}];
for (int64_t t = 0; t < {taps}; t++) total[t] = 0;
memset(flow, 0, sizeof flow);
for (int64_t n = 0; n < {images}; n++) {{
const float* g = x1 + (n * {groups * rows} + group * {rows} + r) * {windows.places};
gw_padded(x0 + (n * {groups * channels} + group * {channels} + c) * {prod(windows.size)}, size,
          origin, extent, seen);
memset(s, 0, sizeof s);
{seen.rows()}
memcpy(flow, g + (z * {windows.grid[1]} + y) * {windows.grid[2]}, {4 * windows.grid[2]});
for (int64_t i = 0; i < {wide}; i += {WIDE}) {{
{lines}
}}
}}
for (int64_t t = 0; t < {taps}; t++) {{
for (int half = {WIDE // 2}; half; half /= 2)
for (int j = 0; j < half; j++) s[t][j] += s[t][j + half];
total[t] += s[t][0];
}}
}}
for (int64_t t = 0; t < {taps}; t++)
y0[((group * {rows} + r) * {channels} + c) * {taps} + t] = (float)total[t];
}}"""
    return one(f"{declare(launch)}\n{text}", parts, headers=HEADERS)

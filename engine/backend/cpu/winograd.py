"""Convolutions of 3 x 3 taps with a quarter of the products (`runtime/winograd.h`).

Worth it where there are channels enough to pay for the way to the 36 points and back.
"""

from __future__ import annotations

from itertools import product
from math import prod

from engine.backend.cpu.after import After
from engine.backend.cpu.kept import MOST_WEIGHTS, Kept
from engine.backend.cpu.kernels import Kernel, Phase, calling, cut, declare, one, scratch_pointer
from engine.backend.cpu.windows import (
    PANEL,
    ROWS,
    WIDE,
    Job,
    Windows,
    braced,
    outer_rows,
    round_up,
)
from engine.compile.plan import Launch

POINTS, BLOCK_ROWS = 36, 32  # as in winograd.h
BANDS = 24  # of tiles, at most
LEAST = 16  # channels on both sides
FEW = 4  # tiles, up to which taking the weights to their points costs more than it saves
MOST_POINTS = 2_500_000  # of the gradient for a weight
HEADERS = ("winograd.h",)


def fits(job: Job, channels: int, rows: int) -> bool:
    """Whether a job has nine taps side by side, stride 1 and enough to do."""
    offsets = sorted(job.windows.offsets)
    if len(offsets) != 9 or job.windows.step != (1, 1, 1) or job.target.step != (1, 1, 1):
        return False
    z, y, x = offsets[0]
    square = [(z, y + a, x + b) for a, b in product(range(3), range(3))]
    deep = job.windows.grid[0] == job.windows.size[0] == 1 and z == 0
    large = min(job.windows.grid[1:]) >= 3
    return offsets == square and deep and large and min(channels, rows) >= LEAST


def tiles_of(windows: Windows, images: int) -> int:
    return images * prod(-(-n // 4) for n in windows.grid[1:])


def pays(job: Job, images: int) -> bool:
    """Whether every weight is used by tiles enough."""
    return tiles_of(job.windows, images) > FEW


def fits_weight(job: Job, images: int, channels: int, rows: int) -> bool:
    """Whether all points of the weight stay in the cache, too."""
    return fits(job, channels, rows) and POINTS * channels * rows <= MOST_POINTS


def kernel(
    launch: Launch, job: Job, images: int, channels: int, rows: int, pitches: tuple[int, int],
    after: After, steady: bool,
) -> Kernel:  # fmt: skip
    """The convolution of one job without groups.

    pitches: elements of the weight from one row and channel to the next. steady: it hardly ever
    changes.
    """
    order = sorted(range(9), key=lambda i: job.windows.offsets[i])
    windows, groups = job.windows.reordered(order), round_up(rows, ROWS) // ROWS
    tiles = tiles_of(windows, images)
    panels = -(-tiles // PANEL)
    some = -(-panels // min(panels, BANDS)) * PANEL
    bands = -(-tiles // some)
    high, spare = (BLOCK_ROWS, ROWS * channels) if panels == 1 else (64, 0)
    stripe = round_up(-(-rows // max(1, min(8 // bands, rows // high))), BLOCK_ROWS)
    work = POINTS * (PANEL * (channels + BLOCK_ROWS) + spare)
    plane = prod(job.target.size)
    head = f"""{declare(launch)}
static const int32_t tap[] = {braced([job.taps[i] for i in order])};"""
    weight = f"{pitches[0]}, {pitches[1]}, tap"
    making = f"""{windows.text("windows")}
{job.target.text("target")}
float* work = gw_workspace({4 * work});
if (!work) {{ GW_REFUSE(); return; }}
const int64_t first = part % {bands} * {some}, row = part / {bands} * {stripe};
const int64_t high = GW_MIN({stripe}, {rows} - row), count = GW_MIN({some}, {tiles} - first);
{after.text("row", f"row * {plane}")}
float* y = y0 + row * {plane};"""
    parts = bands * -(-rows // stripe)
    made, kept = POINTS * groups * channels * ROWS, None
    packings, size = cut(groups, 12 * rows * channels * POINTS)
    if steady and 9 * channels * rows <= MOST_WEIGHTS:
        kept = Kept(9 * channels * rows, made, parts if panels == 1 else packings)
    call = f"""(void)tap;
gw_winograd(&windows, &target, x0, packed + row * {channels}, {groups * channels * ROWS}, &after,
            y, {channels}, high, first, count, work);"""
    if panels == 1 and kept:
        packing = f"""gw_winograd_weights(copy, {rows}, {channels}, {weight}, packed,
                    row / {ROWS}, (row + high + {ROWS - 1}) / {ROWS});"""
        packing = kept.renewed(f"row * {pitches[0]}", f"high * {pitches[0]}", packing)
        text = "\n".join([head, kept.text(launch), making, packing, call])
        return calling(Kernel((Phase(text, parts),), 0, HEADERS, kept.nbytes))
    if panels == 1:
        call = f"""gw_winograd_few(&windows, &target, x0, x1 + row * {pitches[0]}, {weight}, &after,
                y, {channels}, high, count, work);"""
        return calling(one(f"{head}\n{making}\n{call}", parts, headers=HEADERS))
    packed, source = f"float* packed = (void*){scratch_pointer(launch)};", "x1"
    if kept:
        packed, source = kept.text(launch), "copy"
    packing = f"""gw_winograd_weights({source}, {rows}, {channels}, {weight}, packed, part * {size},
                    GW_MIN(part * {size} + {size}, {groups}));"""
    if kept:
        first = f"part * {size * ROWS}"
        most = f"GW_MIN({size * ROWS}, {rows} - {first})"
        packing = kept.renewed(f"{first} * {pitches[0]}", f"{most} * {pitches[0]}", packing)
    phases = (
        Phase(f"{head}\n{packed}\n{packing}", packings),
        Phase(f"{head}\n{packed}\n{making}\n{call}", parts),
    )
    return calling(Kernel(phases, 0 if kept else 4 * made, HEADERS, kept.nbytes if kept else 0))


def weight_kernel(
    launch: Launch, windows: Windows, images: int, channels: int, rows: int
) -> Kernel:
    """The gradient for the weight: every point is a product of its own over all tiles."""
    tiles = tiles_of(windows, images)
    panels, lanes = -(-tiles // PANEL), round_up(rows, WIDE)
    deep = outer_rows(channels, lanes)
    seen, flows, made = (panels * channels + deep) * PANEL, panels * lanes * PANEL, deep * lanes
    head = f"""{declare(launch)}
float* seen = (void*){scratch_pointer(launch)};
float *flows = seen + {POINTS * seen}, *made = flows + {POINTS * flows};
(void)made;"""
    plane = prod(windows.size)
    pieces = max(1, min(channels // WIDE, -(-16 // panels)))
    block, stripe = -(-channels // pieces), round_up(-(-rows // pieces), WIDE)
    pieces = max(-(-channels // block), -(-rows // stripe))
    spreading = f"""{head}
{windows.text("windows")}
const int64_t panel = part / {pieces}, first = panel * {PANEL};
const int64_t count = GW_MIN({PANEL}, {tiles} - first), piece = part % {pieces};
const int64_t channel = piece * {block}, row = piece * {stripe};
if (channel < {channels})
gw_winograd_windows(&windows, x0 + channel * {plane}, GW_MIN({block}, {channels} - channel), first,
                    count, {PANEL}, {seen}, seen + (panel * {channels} + channel) * {PANEL});
if (row < {rows})
gw_winograd_flows(&windows, x1 + row * {windows.places}, {rows * windows.places},
                  GW_MIN({stripe}, {rows} - row), GW_MIN({stripe}, {lanes} - row), {lanes}, first,
                  count, {flows}, flows + panel * {lanes * PANEL} + row);"""
    adding = f"""{head}
gw_winograd_outer({channels}, {lanes}, {panels}, seen + part * {seen}, flows + part * {flows},
                  made + part * {made});"""
    parts, size = cut(channels, POINTS * channels * lanes * 4)
    closing = f"""{head}
gw_winograd_gradient(made, {made}, {rows}, {lanes}, {channels}, part * {size},
                     GW_MIN(part * {size} + {size}, {channels}), y0);"""
    phases = (Phase(spreading, panels * pieces), Phase(adding, POINTS), Phase(closing, parts))
    return calling(Kernel(phases, 4 * POINTS * (seen + flows + made), HEADERS))

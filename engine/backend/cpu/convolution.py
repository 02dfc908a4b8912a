"""Convolution and its two gradients as products of packed panels (`runtime/conv.h`).

The gradient for the input is a convolution, too: of the output's gradient with the taps turned
round, one for each of the lattices that the stride makes of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from engine.backend.convolution import Geometry
from engine.backend.cpu import depthwise, flat, winograd
from engine.backend.cpu.after import NOTHING, After
from engine.backend.cpu.dense import densified
from engine.backend.cpu.kept import MOST_WEIGHTS, Kept
from engine.backend.cpu.kernels import (
    Kernel,
    Phase,
    calling,
    cut,
    declare,
    emitter,
    scratch_pointer,
)
from engine.backend.cpu.windows import (
    PANEL,
    ROWS,
    Job,
    backward_jobs,
    braced,
    forward_job,
    round_up,
)
from engine.compile.plan import Launch

DEPTH = 256  # rows of a panel worked on at a time
TILES = 4  # panels worked on at a time
HEADERS = ("conv.h", "flat.h")


@dataclass(frozen=True)
class Products:
    """Jobs over the same weights, and how they are cut."""

    jobs: Sequence[Job]
    images: int
    groups: int
    channels: int  # of one group of what is looked at
    rows: int  # of one group of the result
    strides: tuple[int, int, int]  # elements of the weight from group, row and channel to the next
    after: After = NOTHING
    steady: bool = False  # the weights hardly ever change

    def kernel(self, launch: Launch) -> Kernel:
        sizes = self.groups, self.channels, self.rows
        if all(depthwise.fits(job, *sizes) for job in self.jobs):
            jobs = list(self.jobs)
            return depthwise.kernel(launch, jobs, self.images, *sizes, self.strides, self.after)
        job = self.jobs[0]
        fits = self.groups == 1 and winograd.fits(job, self.channels, self.rows)
        if fits and winograd.pays(job, self.images):
            return winograd.kernel(
                launch, job, self.images, self.channels, self.rows, self.strides[1:], self.after,
                self.steady,
            )  # fmt: skip
        kept = self._kept(launch)
        names = f"float* packed = (void*){scratch_pointer(launch)};"
        head = f"{declare(launch)}\n{kept.text(launch) if kept else names}"
        packs, products, offset, packing, making = [], [], 0, 0, 0
        for index, job in enumerate(self.jobs):
            text, parts = self._packing(index, job, offset, packing, kept)
            packs.append(text)
            packing += parts
            text, parts = self._making(index, job, offset, making)
            products.append(text)
            making += parts
            offset += self.groups * self._packed(job)
        made = Kernel(
            (
                Phase("\n".join([head, *packs]), packing),
                Phase("\n".join([head, *products]), making),
            ),
            64 if kept else max(4 * offset, 64),
            HEADERS,
            kept.nbytes if kept else 0,
        )
        return calling(made)

    def _kept(self, launch: Launch) -> Kept | None:
        """Where packed weights stay, if they do: one job has all of them."""
        weights = launch.inputs[1].type.size
        if not self.steady or weights > MOST_WEIGHTS:
            return None
        (job,) = self.jobs
        made = self.groups * self._packed(job)
        return Kept(weights, made, self.groups * self._cut(job)[0])

    def _packed(self, job: Job) -> int:
        """Numbers of one group of packed weights."""
        return round_up(self.rows, ROWS) * self.channels * len(job.taps)

    def _cut(self, job: Job) -> tuple[int, int]:
        """(parts that pack the weights of a group, groups of rows of one of them)."""
        return cut(round_up(self.rows, ROWS) // ROWS, self._packed(job))

    def _packing(
        self, index: int, job: Job, offset: int, first: int, kept: Kept | None
    ) -> tuple[str, int]:
        count, taps = round_up(self.rows, ROWS) // ROWS, len(job.taps)
        parts, size = self._cut(job)
        group, row, channel = self.strides
        tap = braced(job.taps or (0,))
        source = "copy" if kept else "x1"
        body = f"""gw_pack_weights({source} + group * {group}, {self.rows}, {self.channels}, {taps},
                {row}, {channel}, tap, packed + {offset} + group * {self._packed(job)}, from,
                GW_MIN(from + {size}, {count}));"""
        if kept:
            high = f"GW_MIN({size * ROWS}, {self.rows} - from * {ROWS})"
            start = f"group * {group} + from * {ROWS * row}"
            body = kept.renewed(start, f"{high} * {row}", body)
        text = f"""if (part >= {first} && part < {first + parts * self.groups}) {{
static const int32_t tap[] = {tap};
int64_t group = (part - {first}) / {parts}, from = (part - {first}) % {parts} * {size};
{body}
}}"""
        return text, parts * self.groups

    def _making(self, index: int, job: Job, offset: int, first: int) -> tuple[str, int]:
        if flat.fits(job, self.channels):
            packed = offset, self._packed(job)
            return flat.making(
                job, self.images, self.groups, self.channels, self.rows, packed, self.after, first
            )
        windows, target, taps = job.windows, job.target, max(1, len(job.taps))
        places = self.images * windows.places
        across, some = self._bands(places, self.rows * self.channels * taps)
        down, rows = self._stripes(across, places * self.channels * taps)
        block = -(-self.channels // -(-self.channels * taps // DEPTH))
        tiles = min(TILES, -(-some // PANEL))
        work = tiles * PANEL * (block * taps + round_up(rows, ROWS))
        each = across * down
        plane = prod(target.size)
        start = f"(group * {self.rows} + row)"
        text = f"""if (part >= {first} && part < {first + each * self.groups}) {{
{windows.text("windows")}
{target.text("target")}
float* work = gw_workspace({4 * work});
if (!work) {{ GW_REFUSE(); return; }}
int64_t group = (part - {first}) / {each}, place = (part - {first}) % {across} * {some};
int64_t row = (part - {first}) % {each} / {across} * {rows};
{self.after.text(start, f"{start} * {plane}")}
gw_convolve(&windows, &target, x0 + group * {self.channels * prod(windows.size)},
            packed + {offset} + group * {self._packed(job)} + row * {self.channels * len(job.taps)},
            &after, y0 + {start} * {plane},
            {self.channels}, GW_MIN({rows}, {self.rows} - row), place,
            GW_MIN({some}, {places} - place), {block}, {tiles}, work);
}}"""
        return text, each * self.groups

    def _bands(self, places: int, each: int) -> tuple[int, int]:
        """(bands, positions of one); a band is a multiple of a panel."""
        panels = -(-places // PANEL)
        parts, size = cut(max(1, panels // 2), places * each)
        size = -(-panels // parts)
        return -(-panels // size), size * PANEL

    def _stripes(self, bands: int, each: int) -> tuple[int, int]:
        """(stripes, rows of one): rows are cut as well where there are few bands."""
        wanted = max(1, min(8 // bands, self.rows // 64, each * self.rows // 1_000_000))
        rows = round_up(-(-self.rows // wanted), ROWS)
        return -(-self.rows // rows), rows


def geometry_of(size: tuple[int, ...], kernel: tuple[int, ...], launch: Launch) -> Geometry:
    attrs = launch.attrs
    return Geometry(size, kernel, attrs["stride"], attrs["padding"], attrs["dilation"])


def covered(launch: Launch) -> bool:
    slots = (*launch.inputs, *launch.outputs)
    return all(s.type.dtype == np.float32 for s in slots) and slots[0].type.ndim <= 5


@emitter("conv")
def conv(launch: Launch) -> Kernel | None:
    return _forward(launch, After(("shift",) if len(launch.inputs) == 3 else ()))


@emitter("fused_conv")
def fused_conv(launch: Launch) -> Kernel | None:
    after = After(launch.attrs["after"], launch.attrs["relu"])
    return _forward(launch, after, steady=launch.attrs.get("steady", False))


def _forward(launch: Launch, after: After, *, steady: bool = False) -> Kernel | None:
    if not covered(launch):
        return None
    x, weight = (slot.type for slot in launch.inputs[:2])
    geometry = geometry_of(x.shape[2:], weight.shape[2:], launch)
    groups, (outputs, depth) = launch.attrs["groups"], weight.shape[:2]
    rows, taps = outputs // groups, len(geometry.taps)
    made = Products(
        [forward_job(geometry, x.shape[1], outputs)], x.shape[0], groups, depth, rows,
        (rows * depth * taps, depth * taps, taps), after, steady,
    )  # fmt: skip
    return densified(launch, made.kernel)


@emitter("conv_input_grad")
def conv_input_grad(launch: Launch) -> Kernel | None:
    if not covered(launch):
        return None
    g, weight = (slot.type for slot in launch.inputs)
    geometry = geometry_of(launch.attrs["size"], weight.shape[2:], launch)
    groups, (outputs, depth) = launch.attrs["groups"], weight.shape[:2]
    rows, taps = outputs // groups, len(geometry.taps)
    made = Products(
        backward_jobs(geometry, depth * groups, outputs), g.shape[0], groups, rows, depth,
        (rows * depth * taps, taps, depth * taps),
    )  # fmt: skip
    return densified(launch, made.kernel)

"""The gradient of a convolution for its weight: windows times the output's gradient, added up.

Images are cut into chunks, and channels into blocks; the sums of the chunks are added in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from engine.backend.convolution import Geometry
from engine.backend.cpu import depthwise, flat, winograd
from engine.backend.cpu.convolution import DEPTH, HEADERS, covered, geometry_of
from engine.backend.cpu.dense import densified
from engine.backend.cpu.kernels import (
    Kernel,
    Phase,
    calling,
    cut,
    declare,
    emitter,
    scratch_pointer,
)
from engine.backend.cpu.windows import WIDE, forward_job, forward_windows, outer_rows, round_up
from engine.compile.plan import Launch

POSITIONS = 128  # worked on at a time
WANTED = 8  # parts
LANES = 256  # rows of the weight worked on at a time


@dataclass(frozen=True)
class Sums:
    """How the sums are cut: groups x stripes of rows x blocks of channels x chunks of images."""

    geometry: Geometry
    images: int
    groups: int
    channels: int  # of one group
    rows: int  # of one group

    @property
    def taps(self) -> int:
        return len(self.geometry.taps)

    @property
    def depth(self) -> int:
        return self.channels * self.taps

    @property
    def stripe(self) -> int:
        count = -(-self.rows // LANES)
        return round_up(-(-self.rows // count), WIDE)

    @property
    def stripes(self) -> int:
        return -(-self.rows // self.stripe)

    @property
    def block(self) -> int:
        """Channels of one block."""
        return -(-self.channels // -(-self.depth // DEPTH))

    @property
    def blocks(self) -> int:
        return -(-self.channels // self.block)

    @property
    def places(self) -> int:
        return prod(self.geometry.output)

    @property
    def chunk(self) -> int:
        """Images of one chunk."""
        parts = self.groups * self.stripes * self.blocks
        work = self.images * self.places * self.depth * self.rows * self.groups
        wanted = max(1, min(self.images, -(-WANTED // parts), work // (parts * 250_000)))
        return -(-self.images // wanted)

    @property
    def chunks(self) -> int:
        return -(-self.images // self.chunk)

    @property
    def pitch(self) -> int:
        """Numbers of a stripe's sums."""
        return self.depth * self.stripe

    def kernel(self, launch: Launch) -> Kernel:
        head = f"{declare(launch)}\nfloat* sums = (void*){scratch_pointer(launch)};"
        parts = self.groups * self.stripes * self.blocks * self.chunks
        adding, adding_parts = self._adding()
        scratch = 4 * self.groups * self.stripes * self.chunks * self.pitch
        phases = (
            Phase(f"{head}\n{self._making()}", parts),
            Phase(f"{head}\n{adding}", adding_parts),
        )
        return calling(Kernel(phases, scratch, HEADERS))

    def _making(self) -> str:
        windows = forward_windows(self.geometry, self.channels * self.groups)
        inner, plane = self.block * self.taps, prod(self.geometry.size)
        deep = outer_rows(inner, self.stripe)
        work = (deep + self.stripe) * POSITIONS + deep * self.stripe
        return f"""{windows.text("windows")}
float* work = gw_workspace({4 * work});
if (!work) {{ GW_REFUSE(); return; }}
int64_t chunk = part % {self.chunks}, block = part / {self.chunks} % {self.blocks};
int64_t stripe = part / {self.chunks * self.blocks};
int64_t group = stripe / {self.stripes}, row = stripe % {self.stripes} * {self.stripe};
int64_t first = chunk * {self.chunk}, channel = block * {self.block};
gw_conv_weight(&windows, x0 + (group * {self.channels} + channel) * {plane},
               x1 + (group * {self.rows} + row) * {self.places},
               {self.groups * self.rows * self.places},
               GW_MIN({self.block}, {self.channels} - channel),
               GW_MIN({self.stripe}, {self.rows} - row), {self.stripe}, first * {self.places},
               GW_MIN({self.chunk}, {self.images} - first) * {self.places}, {POSITIONS}, work,
               sums + (stripe * {self.chunks} + chunk) * {self.pitch}
                   + channel * {self.taps * self.stripe});"""

    def _adding(self) -> tuple[str, int]:
        stripes = self.groups * self.stripes
        parts, size = cut(self.depth, self.pitch * self.chunks, WIDE)
        text = f"""int64_t stripe = part / {parts}, from = part % {parts} * {size};
int64_t group = stripe / {self.stripes}, row = stripe % {self.stripes} * {self.stripe};
gw_sum_turned(sums + stripe * {self.chunks * self.pitch}, {self.chunks}, {self.pitch},
              {self.stripe}, GW_MIN({self.stripe}, {self.rows} - row), from,
              GW_MIN(from + {size}, {self.depth}),
              y0 + (group * {self.rows} + row) * {self.depth}, {self.depth});"""
        return text, parts * stripes


@emitter("conv_weight_grad")
def conv_weight_grad(launch: Launch) -> Kernel | None:
    if not covered(launch):
        return None
    x, g = (slot.type for slot in launch.inputs)
    geometry = geometry_of(x.shape[2:], launch.attrs["kernel"], launch)
    groups = launch.attrs["groups"]
    job = forward_job(geometry, x.shape[1], g.shape[1])
    images, windows = x.shape[0], job.windows
    channels, rows = x.shape[1] // groups, g.shape[1] // groups
    if depthwise.fits(job, groups, channels, rows):
        sizes = images, groups, channels, rows
        return densified(launch, lambda made: depthwise.weight_kernel(made, windows, *sizes))
    if groups == 1 and winograd.fits_weight(job, images, channels, rows):
        return densified(
            launch, lambda made: winograd.weight_kernel(made, windows, images, channels, rows)
        )
    if flat.fits_weight(windows, channels, rows):
        sizes = images, groups, channels, rows
        return densified(launch, lambda made: flat.weight_kernel(made, windows, *sizes))
    return densified(launch, Sums(geometry, images, groups, channels, rows).kernel)

"""Pooling: an image at a time, a row of windows at a time, tap by tap.

Where no window reaches into the padding all taps are taken in one loop over the row.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from engine.backend.convolution import Geometry
from engine.backend.cpu import pooling_inner
from engine.backend.cpu.dense import densified
from engine.backend.cpu.functions import loose
from engine.backend.cpu.kernels import Kernel, c_type, cut, declare, emitter, literal, one
from engine.backend.cpu.shares import share
from engine.backend.cpu.windows import three
from engine.backend.pooling import counts
from engine.compile.plan import Launch

MANY = 64  # taps beyond which rows of taps are loops


class Windows:
    """The windows of three axes, and for every tap of the last one those that lie inside."""

    def __init__(self, size: tuple[int, ...], attrs: dict[str, Any]) -> None:
        axes = len(size)
        spread = attrs.get("dilation", (1,) * axes)
        self.geometry = Geometry(size, attrs["kernel"], attrs["stride"], attrs["padding"], spread)
        self.size, self.kernel = three(size, 1), three(attrs["kernel"], 1)
        self.step, self.spread = three(attrs["stride"], 1), three(spread, 1)
        self.before = three([lo for lo, _ in attrs["padding"]], 0)
        self.grid = three(self.geometry.output, 1)

    @property
    def apart(self) -> bool:
        """Whether no element lies in two windows."""
        parts = zip(self.kernel, self.spread, self.step, strict=True)
        return all((k - 1) * d < s for k, d, s in parts)

    @property
    def global_(self) -> bool:
        """Whether one window is the whole image."""
        return self.kernel == self.size and self.grid == (1, 1, 1) and self.before == (0, 0, 0)

    def inside(self, axis: int, tap: int) -> tuple[int, int]:
        """The windows (from, to) whose tap lies inside the image, along one axis."""
        offset, step = tap * self.spread[axis] - self.before[axis], self.step[axis]
        low = max(0, -(offset // step))
        high = min(self.grid[axis] - 1, (self.size[axis] - 1 - offset) // step) + 1
        return low, max(low, high)

    @property
    def whole(self) -> bool:
        """Whether all windows lie inside the image."""
        return all(
            self.inside(axis, tap) == (0, self.grid[axis])
            for axis in range(3)
            for tap in range(self.kernel[axis])
        )

    def index(self, tap: int) -> str:
        """The element of a row of the image that one tap of window i meets."""
        offset = tap * self.spread[2] - self.before[2]
        step = f"i * {self.step[2]}" if self.step[2] != 1 else "i"
        return f"{step} + {offset}" if offset else step

    def rows(self, body: Callable[[int], str], backwards: bool = False) -> str:
        """A loop over the rows of taps; `v` is where the row of the image that one meets starts.

        body: from a tap of the last axis to what is done with it.
        """
        taps = range(self.kernel[2])
        inner = "\n".join(body(tap) for tap in (reversed(taps) if backwards else taps))
        loops = [
            f"for (int64_t {name} = {n - 1}; {name} >= 0; {name}--)"
            if backwards
            else f"for (int64_t {name} = 0; {name} < {n}; {name}++)"
            for name, n in (("a", self.kernel[0]), ("b", self.kernel[1]))
        ]
        return f"""{loops[0]}
{loops[1]} {{
int64_t z = s * {self.step[0]} + a * {self.spread[0]} - {self.before[0]};
int64_t y = r * {self.step[1]} + b * {self.spread[1]} - {self.before[1]};
if (z < 0 || z >= {self.size[0]} || y < 0 || y >= {self.size[1]}) continue;
int64_t v = (z * {self.size[1]} + y) * {self.size[2]};
{inner}
}}"""

    def line(self, tap: int, text: str) -> str:
        """A loop over the windows whose tap lies inside."""
        low, high = self.inside(2, tap)
        loop = f"for (int64_t i = {low}; i < {high}; i++) {{ {text} }}"
        return f"#pragma GCC ivdep\n#pragma GCC unroll 1\n{loop}"  # unrolled, it stays scalar

    def images(self, count: int, body: str, before: str = "") -> tuple[str, int]:
        """Loops over images and rows of windows; u: where a row of windows starts."""
        work = count * prod(self.grid) * prod(self.kernel)
        parts, size = cut(count, work)
        plane, places = prod(self.size), prod(self.grid)
        layers, rows, across = map(loose, self.grid)
        text = f"""{share("n", count, size)} {{
const int64_t image = n * {loose(plane)}, windows = n * {loose(places)};
(void)image; (void)windows;
{before}
for (int64_t s = 0; s < {layers}; s++)
for (int64_t r = 0; r < {rows}; r++) {{
const int64_t u = windows + (s * {rows} + r) * {across};
{body}
}}
}}"""
        return text, parts


def _floats(launch: Launch) -> bool:
    return all(s.type.dtype.kind == "f" for s in (*launch.inputs, *launch.outputs))


@emitter("max_pool")
def max_pool(launch: Launch) -> Kernel | None:
    x = launch.inputs[0].type
    c = c_type(x.dtype)
    if not _floats(launch):
        return None
    windows = Windows(x.shape[2:], launch.attrs)

    def step(tap: int) -> str:
        text = f"{c} h = from[{windows.index(tap)}], o = best[i]; "
        text += "best[i] = (o > h) | (o != o) ? o : h;"
        head = f"const {c}* from = x0 + image + v;\n" if tap == 0 else ""
        return head + windows.line(tap, text)

    body = f"""{c} best[{windows.grid[2]}];
for (int64_t i = 0; i < {windows.grid[2]}; i++) best[i] = -INFINITY;
{windows.rows(step)}
memcpy(y0 + u, best, sizeof best);"""
    if pooling_inner.fits(windows):
        body = pooling_inner.largest(windows, str(c))

    def make(dense: Launch) -> Kernel:
        text, parts = windows.images(prod(x.shape[:2]), body)
        return one(f"{declare(dense)}\n{text}", parts)

    return densified(launch, make) if windows.grid[2] <= 4096 else None


@emitter("max_pool_grad")
def max_pool_grad(launch: Launch) -> Kernel | None:
    x = launch.inputs[1].type
    c = c_type(x.dtype)
    if not _floats(launch):
        return None
    windows = Windows(x.shape[2:], launch.attrs)
    if windows.grid[2] > 4096:
        return None
    if prod(windows.size) >= 1 << 31:
        return None
    add = "=" if windows.apart else "+="

    def step(tap: int) -> str:
        at = windows.index(tap)
        return windows.line(
            tap, f"place[i] = from[{at}] == best[i] ? start + (int32_t)({at}) : place[i];"
        )

    def first(tap: int) -> str:
        head = f"const {c}* from = x1 + image + v; const int32_t start = (int32_t)v;\n"
        return (head if tap == windows.kernel[2] - 1 else "") + step(tap)

    body = f"""int32_t place[{windows.grid[2]}];
const {c} *best = x2 + u, *flow = x0 + u;
{c}* to = y0 + image;
for (int64_t i = 0; i < {windows.grid[2]}; i++) place[i] = -1;
{windows.rows(first, backwards=True)}
for (int64_t i = 0; i < {windows.grid[2]}; i++) if (place[i] >= 0) to[place[i]] {add} flow[i];"""
    clear = f"memset(y0 + image, 0, {prod(windows.size) * x.dtype.itemsize});"
    if pooling_inner.fits_gradient(windows):
        body = pooling_inner.gradient(windows, str(c))
        clear = clear if pooling_inner.uncovered(windows) else ""

    def make(dense: Launch) -> Kernel:
        text, parts = windows.images(prod(x.shape[:2]), body, clear)
        return one(f"{declare(dense)}\n{text}", parts)

    return densified(launch, make)


def _divisors(windows: Windows, launch: Launch, c: str, dtype: np.dtype) -> tuple[str, str]:
    """(a table if there must be one, the divisor of window i)."""
    extra, include = launch.attrs["extra"], launch.attrs["count_include_pad"]
    table = np.broadcast_to(
        counts(windows.geometry, extra, include, dtype), windows.geometry.output
    ).reshape(-1)
    if (table == table[0]).all():
        return "", literal(float(table[0]), c)
    numbers = ", ".join(literal(float(n), c) for n in table)
    return f"static const {c} divisor[] = {{{numbers}}};", "divisor[u - windows + i]"


@emitter("avg_pool")
def avg_pool(launch: Launch) -> Kernel | None:
    x = launch.inputs[0].type
    c = c_type(x.dtype)
    if not _floats(launch):
        return None
    windows = Windows(x.shape[2:], launch.attrs)
    if windows.global_ and c == "float":
        return densified(launch, lambda dense: _mean(dense, windows))
    table, divisor = _divisors(windows, launch, str(c), x.dtype)
    if windows.kernel[2] > MANY or windows.grid[2] > 4096 or len(table) > 100_000:
        return None

    def step(tap: int) -> str:
        head = f"const {c}* from = x0 + image + v;\n" if tap == 0 else ""
        return head + windows.line(tap, f"sums[i] += from[{windows.index(tap)}];")

    body = f"""{c} sums[{windows.grid[2]}];
for (int64_t i = 0; i < {windows.grid[2]}; i++) sums[i] = 0;
{windows.rows(step)}
for (int64_t i = 0; i < {windows.grid[2]}; i++) y0[u + i] = sums[i] / {divisor};"""

    def make(dense: Launch) -> Kernel:
        text, parts = windows.images(prod(x.shape[:2]), body)
        return one(f"{declare(dense)}\n{table}\n{text}", parts)

    return densified(launch, make)


def _mean(launch: Launch, windows: Windows) -> Kernel:
    count, plane = prod(launch.inputs[0].type.shape[:2]), prod(windows.size)
    parts, size = cut(count, count * plane)
    text = f"""{share("n", count, size)}
y0[n] = (float)gw_sum(x0 + n * {plane}, {plane}) / {plane};"""
    return one(f"{declare(launch)}\n{text}", parts, headers=("norm.h",))


@emitter("avg_pool_grad")
def avg_pool_grad(launch: Launch) -> Kernel | None:
    g = launch.inputs[0].type
    c = c_type(g.dtype)
    if not _floats(launch):
        return None
    windows = Windows(launch.attrs["size"], launch.attrs)
    table, divisor = _divisors(windows, launch, str(c), g.dtype)
    plane, count = prod(windows.size), prod(g.shape[:2])
    if windows.global_:
        parts, size = cut(count, count * plane)
        text = f"""{share("n", count, size)} {{
const {c} share = x0[n] / {divisor};
for (int64_t i = 0; i < {plane}; i++) y0[n * {plane} + i] = share;
}}"""
        return densified(launch, lambda dense: one(f"{declare(dense)}\n{text}", parts))
    if windows.kernel[2] > MANY or windows.grid[2] > 4096 or len(table) > 100_000:
        return None

    def step(tap: int) -> str:
        head = f"{c}* to = y0 + image + v;\n" if tap == 0 else ""
        return head + windows.line(tap, f"to[{windows.index(tap)}] += share[i];")

    body = f"""{c} share[{windows.grid[2]}];
for (int64_t i = 0; i < {windows.grid[2]}; i++) share[i] = x0[u + i] / {divisor};
{windows.rows(step)}"""
    clear = f"memset(y0 + image, 0, {plane * g.dtype.itemsize});"

    def make(dense: Launch) -> Kernel:
        text, parts = windows.images(count, body, clear)
        return one(f"{declare(dense)}\n{table}\n{text}", parts)

    return densified(launch, make)

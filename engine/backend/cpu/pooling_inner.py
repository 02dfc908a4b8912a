"""Max pooling where every window lies inside the image: all taps of a window at once.

The numbers of a row of windows then stay in registers, and the loop over them is one of vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

from engine.backend.cpu.functions import loose
from engine.backend.cpu.loops import turns

if TYPE_CHECKING:
    from engine.backend.cpu.pooling import Windows

FEW = 16  # taps that are written out, and loops over them; unrolled these would stay scalar


def fits(windows: Windows) -> bool:
    z, y, x = windows.kernel
    return windows.whole and z * y * x <= FEW


def fits_gradient(windows: Windows) -> bool:
    """Whether every number of a window is one of no other window, and none lies between them."""
    return fits(windows) and windows.kernel == windows.step and windows.spread == (1, 1, 1)


def _taps(windows: Windows) -> Iterator[tuple[str, str]]:
    """(the element of the image that a tap of window i meets, its name), first taps first."""
    _, high, across = windows.size
    for number, (a, b, t) in enumerate(product(*map(range, windows.kernel))):
        z, y, x = (
            tap * windows.spread[axis] - windows.before[axis] for axis, tap in enumerate((a, b, t))
        )
        yield f"i * {windows.step[2]} + {(z * high + y) * across + x}", f"h{number}"


def _start(windows: Windows) -> str:
    """Where the first window of row r of layer s begins."""
    _, high, across = windows.size
    layer, row = loose(windows.step[0] * high), loose(windows.step[1])
    return f"image + (s * {layer} + r * {row}) * {loose(across)}"


def largest(windows: Windows, c: str) -> str:
    """A row of windows; of equals the first, and what is not a number wins."""
    lines = []
    for at, name in _taps(windows):
        lines.append(f"const {c} {name} = from[{at}];")
        if name == "h0":
            lines.append(f"{c} best = h0;")
        else:
            lines.append(f"best = {name} > best || {name} != {name} ? {name} : best;")
    return f"""const {c}* from = x0 + {_start(windows)};
{c}* to = y0 + u;
#pragma GCC ivdep
#pragma GCC unroll 1
for (int64_t i = 0; i < {turns(windows.grid[2])}; i++) {{
{chr(10).join(lines)}
to[i] = best;
}}"""


def gradient(windows: Windows, c: str) -> str:
    """The gradient goes to the first tap that is the largest, zeros go to the others."""
    lines = [f"const {c} b = best[i]; {c} f = flow[i];"]
    for at, name in _taps(windows):
        lines.append(f"const int32_t {name} = from[{at}] == b;")
        lines.append(f"to[{at}] = {name} ? f : 0;")
        lines.append(f"f = {name} ? 0 : f;")
    return f"""const {c} *restrict from = x1 + {_start(windows)};
const {c} *restrict best = x2 + u, *restrict flow = x0 + u;
{c}* restrict to = y0 + {_start(windows)};
#pragma GCC ivdep
#pragma GCC unroll 1
for (int64_t i = 0; i < {turns(windows.grid[2])}; i++) {{
{chr(10).join(lines)}
}}"""


def uncovered(windows: Windows) -> bool:
    """Whether the image has elements after its last window."""
    return any(
        n * k != size for n, k, size in zip(windows.grid, windows.step, windows.size, strict=True)
    )

"""Draws from Philox: words are computed again wherever they are needed, never stored."""

from __future__ import annotations

from engine.backend.cpu.kernels import (
    C_TYPES,
    Kernel,
    cut,
    declare,
    emitter,
    is_dense,
    literal,
    one,
)
from engine.compile.plan import Launch, Slot

WORDS = 64  # words of one call
WORD_WORK = 6  # operations that a word takes, sixteen blocks side by side


@emitter("dropout")
def dropout(launch: Launch) -> Kernel | None:
    x, rate = launch.inputs[0], float(launch.attrs["p"])
    kind = C_TYPES[x.type.dtype.name]
    if kind not in ("float", "double") or not is_dense(x):
        return None
    least = min(int(rate * 2.0**32), 2**32 - 1)
    scale = literal(1 / (1 - rate), kind)
    body = f"y0[i + l] = words[l] >= {least}u ? x0[i + l] * {scale} : 0;"
    return _drawn(launch, launch.inputs[1:], x.type.size, 1, body)


@emitter("uniform")
def uniform(launch: Launch) -> Kernel | None:
    """24 random bits for a float, 53 of two words for a double, as the reference rounds them."""
    attrs, size = launch.attrs, launch.outputs[0].type.size
    kind = C_TYPES[launch.outputs[0].type.dtype.name]
    low, high = float(attrs["low"]), float(attrs["high"])
    if kind == "float":
        number, each = "(float)(words[l] >> 8) * 0x1p-24f", 1
    elif kind == "double":
        whole = "(uint64_t)(words[2 * l] >> 5) * 67108864u + (words[2 * l + 1] >> 6)"
        number, each = f"(double)({whole}) * 0x1p-53", 2
    else:
        return None
    if (low, high) != (0.0, 1.0):
        number = f"{number} * {literal(high - low, kind)} + {literal(low, kind)}"
    return _drawn(launch, launch.inputs, size, each, f"y0[i + l] = {number};")


@emitter("random_keys")
def random_keys(launch: Launch) -> Kernel:
    body = "y0[i + l] = (uint64_t)words[2 * l + 1] << 32 | words[2 * l];"
    return _drawn(launch, launch.inputs, launch.outputs[0].type.size, 2, body)


def _drawn(launch: Launch, key: tuple[Slot, ...], size: int, each: int, body: str) -> Kernel:
    """Elements that take `each` words: `l` is one of those that a call's words are enough for."""
    at = len(launch.inputs) - len(key)
    run = WORDS // each
    parts, length = cut(size, size * each * WORD_WORK, run)
    text = f"""{declare(launch)}
const uint64_t seed = x{at}[0], step = x{at + 1}[0];
const int64_t stop = GW_MIN(part * {length} + {length}, {size});
for (int64_t i = part * {length}; i < stop; i += {run}) {{
uint32_t words[GW_PHILOX_WORDS];
gw_philox(seed, step, {int(launch.attrs["draw"])}u, (uint32_t)(i / {run} * GW_PHILOX_LANES), words);
const int many = (int)GW_MIN({run}, stop - i);
if (many == {run}) {{
for (int l = 0; l < {run}; l++) {body}
}} else {{
for (int l = 0; l < many; l++) {body}
}}
}}"""
    return one(text, parts, headers=("philox.h",))

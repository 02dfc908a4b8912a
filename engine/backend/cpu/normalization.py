"""Normalisation: statistics in two passes over what is still in the cache, then the numbers.

Layer and root-mean-square norms work on rows, group norm on rows whose weight repeats, batch norm
on channels. Sums for weights are made in parts and added in order.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from engine.backend.cpu.dense import densified
from engine.backend.cpu.functions import loose
from engine.backend.cpu.kernels import (
    Kernel,
    Phase,
    cut,
    declare,
    emitter,
    is_dense,
    literal,
    one,
    scratch_pointer,
    strides_of,
)
from engine.backend.cpu.loops import merged
from engine.backend.cpu.shares import share
from engine.compile.plan import Launch, Slot

HEADERS = ("norm.h",)
#: Numbers of a channel from which loops are as fast where C does not know how many there are.
LONG = 64


def _covered(launch: Launch) -> bool:
    return all(s.type.dtype == np.float32 for s in (*launch.inputs, *launch.outputs))


def _eps(launch: Launch) -> str:
    return literal(float(launch.attrs["eps"]), "float")


@emitter("batch_norm")
def batch_norm(launch: Launch) -> Kernel | None:
    return densified(launch, _batch_norm) if _covered(launch) else None


def _batch_norm(launch: Launch) -> Kernel:
    shape = launch.inputs[0].type.shape
    n, channels, plane = shape[0], shape[1], prod(shape[2:])
    if plane == 1:
        return _batch_columns(launch, n, channels)
    parts, size = cut(channels, 8 * n * channels * plane)
    images, pitch, count = map(loose, (n, channels * plane, n * plane))
    length = _length(plane)
    weight = "x1[c]" if len(launch.inputs) > 1 else "1.0f"
    bias = "x2[c]" if len(launch.inputs) > 2 else "0.0f"
    text = f"""{share("c", channels, size)} {{
const float* x = x0 + c * {length};
float* y = y0 + c * {length};
double total = 0, away = 0;
for (int64_t i = 0; i < {images}; i++) total += gw_sum(x + i * {pitch}, {length});
const float mean = (float)(total / {count});
for (int64_t i = 0; i < {images}; i++) away += gw_sum_away(x + i * {pitch}, mean, {length});
const float variance = (float)(away / {count});
const float factor = {weight} / sqrtf(variance + {_eps(launch)}), shift = {bias};
for (int64_t i = 0; i < {images}; i++) {{
const float* restrict from = x + i * {pitch};
float* restrict to = y + i * {pitch};
for (int64_t j = 0; j < {length}; j++) to[j] = fmaf(from[j] - mean, factor, shift);
}}
y1[c] = mean;
y2[c] = variance;
}}"""
    return one(f"{declare(launch)}\n{text}", parts, headers=HEADERS)


def _batch_columns(launch: Launch, n: int, channels: int) -> Kernel:
    """[n, channels]: sixteen channels at a time."""
    parts, size = cut(-(-channels // 16), 8 * n * channels)
    weight = "x1[c + j]" if len(launch.inputs) > 1 else "1.0f"
    bias = "x2[c + j]" if len(launch.inputs) > 2 else "0.0f"
    text = f"""{share("block", -(-channels // 16), size)} {{
const int64_t c = block * 16, wide = GW_MIN(16, {channels} - c);
double total[16] = {{0}};
float mean[16], factor[16], shift[16];
for (int64_t i = 0; i < {n}; i++)
for (int64_t j = 0; j < wide; j++) total[j] += x0[i * {channels} + c + j];
for (int64_t j = 0; j < wide; j++) {{ mean[j] = (float)(total[j] / {n}); total[j] = 0; }}
for (int64_t i = 0; i < {n}; i++)
for (int64_t j = 0; j < wide; j++) {{
const float away = x0[i * {channels} + c + j] - mean[j];
total[j] += away * away;
}}
for (int64_t j = 0; j < wide; j++) {{
const float variance = (float)(total[j] / {n});
factor[j] = {weight} / sqrtf(variance + {_eps(launch)});
shift[j] = {bias};
y1[c + j] = mean[j];
y2[c + j] = variance;
}}
for (int64_t i = 0; i < {n}; i++)
for (int64_t j = 0; j < wide; j++) {{
const int64_t at = i * {channels} + c + j;
y0[at] = fmaf(x0[at] - mean[j], factor[j], shift[j]);
}}
}}"""
    return one(f"{declare(launch)}\n{text}", parts)


@emitter("batch_norm_grad")
def batch_norm_grad(launch: Launch) -> Kernel | None:
    return densified(launch, _batch_norm_grad) if _covered(launch) else None


def _batch_norm_grad(launch: Launch) -> Kernel:
    """Inputs g, x, mean, variance, weight, bias; outputs for x, weight, bias."""
    shape = launch.inputs[1].type.shape
    n, channels, plane = shape[0], shape[1], prod(shape[2:])
    weight = "x4[c]" if len(launch.inputs) > 4 else "1.0f"
    outs = "".join(
        f"y{i} = (float)({what});\n".replace(" =", "[c] =", 1)
        for i, what in enumerate(("along * scale", "total"), 1)
        if len(launch.outputs) > i
    )
    images, pitch, count = map(loose, (n, channels * plane, n * plane))
    length = _length(plane)
    parts, size = cut(channels, 12 * n * channels * plane)
    if plane == 1:
        summing = f"""for (int64_t i = 0; i < {images}; i++) {{
const float h = g[i * {pitch}];
total += h;
along += h * (x[i * {pitch}] - mean);
}}"""
    else:
        summing = f"""for (int64_t i = 0; i < {images}; i++) {{
total += gw_sum(g + i * {pitch}, {length});
along += gw_sum_along(g + i * {pitch}, x + i * {pitch}, mean, {length});
}}"""
    text = f"""{share("c", channels, size)} {{
const float *g = x0 + c * {length}, *x = x1 + c * {length}, mean = x2[c];
const float scale = 1.0f / sqrtf(x3[c] + {_eps(launch)});
double total = 0, along = 0;
{summing}
{outs}const float factor = {weight} * scale;
const float slope = (float)(along * scale * scale / {count}), level = (float)(total / {count});
for (int64_t i = 0; i < {images}; i++) {{
const float *restrict h = g + i * {pitch}, *restrict from = x + i * {pitch};
float* restrict to = y0 + c * {length} + i * {pitch};
for (int64_t j = 0; j < {length}; j++)
to[j] = factor * fmaf(mean - from[j], slope, h[j] - level);
}}
}}"""
    return one(f"{declare(launch)}\n{text}", parts, headers=HEADERS)


def _length(plane: int) -> str:
    """How many numbers of a channel lie side by side, as C has it."""
    return loose(plane) if plane >= LONG else str(plane)


def _row_shape(launch: Launch, place: int) -> tuple[int, int]:
    """(rows, their length) of a norm over the last axes."""
    shape, dims = launch.inputs[place].type.shape, launch.attrs["dims"]
    length = prod(shape[len(shape) - dims :])
    return prod(shape) // length, length


def _by_rows(launch: Launch, count: int, make: Callable[[Launch], Kernel]) -> Kernel | None:
    """`make`; the rows of the first `count` inputs may stand anywhere, as where they repeat."""
    if not _covered(launch):
        return None
    lead = launch.inputs[0].type.ndim - launch.attrs["dims"]
    whole = all(is_dense(slot) for slot in (*launch.inputs[count:], *launch.outputs))
    if whole and all(_row(slot, lead) is not None for slot in launch.inputs[:count]):
        return make(launch)
    return densified(launch, make)


def _row(slot: Slot, rows: int) -> str | None:
    """Where row r of the last axes begins, in elements; None where a row is not dense."""
    shape, strides = slot.type.shape, strides_of(slot)
    axes = [(n, (s,)) for n, s in zip(shape, strides, strict=True)]
    inner = merged([axis for axis in axes[rows:] if axis[0] != 1])
    if inner and (len(inner) > 1 or inner[0][1] != (1,)):
        return None
    terms, below = [], 1
    outer = merged([axis for axis in axes[:rows] if axis[0] != 1])
    for place, (n, (stride,)) in reversed(list(enumerate(outer))):
        index = f"r / {below}" if below > 1 else "r"
        if stride:
            terms.append(f"({index}{f' % {n}' if place else ''}) * {stride}")
        below *= n
    return " + ".join(terms) or "0"


@emitter("layer_norm", "rms_norm")
def row_norm(launch: Launch) -> Kernel | None:
    return _by_rows(launch, 1, _row_norm)


def _row_norm(launch: Launch) -> Kernel:
    rows, length = _row_shape(launch, 0)
    parts, size = cut(rows, 8 * rows * length)
    scaled = "(x[j] - mean) * scale"
    if len(launch.inputs) > 1:
        scaled = f"{scaled} * x1[j]"
    if len(launch.inputs) > 2:
        scaled = f"fmaf((x[j] - mean) * scale, x1[j], x2[j])"  # noqa: F541
    if launch.name == "rms_norm":
        mean, variance = "0.0f", f"gw_sum_squares(x, {length})"
    else:
        mean = f"(float)(gw_sum(x, {length}) / {length})"
        variance = f"gw_sum_away(x, mean, {length})"
    start = _row(launch.inputs[0], launch.inputs[0].type.ndim - launch.attrs["dims"])
    text = f"""{share("r", rows, size)} {{
const float* restrict x = x0 + {start};
float* restrict y = y0 + r * {length};
const float mean = {mean};
const float variance = (float)({variance} / {length});
const float scale = 1.0f / sqrtf(variance + {_eps(launch)});
for (int64_t j = 0; j < {length}; j++) y[j] = {scaled};
y1[r] = mean;
y2[r] = variance;
}}"""
    return one(f"{declare(launch)}\n{text}", parts, headers=HEADERS)


@emitter("layer_norm_grad", "rms_norm_grad")
def row_norm_grad(launch: Launch) -> Kernel | None:
    return _by_rows(launch, 2, _row_norm_grad)


def _row_norm_grad(launch: Launch) -> Kernel:
    rows, length = _row_shape(launch, 1)
    parts, size = cut(rows, 12 * rows * length)
    weighted, outs = len(launch.inputs) > 4, len(launch.outputs) - 1
    flow = "g[j] * x4[j]" if weighted else "g[j]"
    if weighted:
        level = f"gw_sum_product(g, x4, {length})"
        along = f"gw_sum_weighted(g, x4, x, mean, {length})"
    else:
        level, along = f"gw_sum(g, {length})", f"gw_sum_along(g, x, mean, {length})"
    if launch.name == "rms_norm_grad":
        level = "0"
    adding = (
        "sums[j] = fmaf(g[j], (x[j] - mean) * scale, sums[j]);",
        f"sums[{length} + j] += g[j];",
    )
    lead = launch.inputs[1].type.ndim - launch.attrs["dims"]
    flows, given = (_row(slot, lead) for slot in launch.inputs[:2])
    text = f"""float* restrict sums = (float*){scratch_pointer(launch)};
sums += part * {max(1, outs) * length};
for (int64_t j = 0; j < {outs * length}; j++) sums[j] = 0;
{share("r", rows, size)} {{
const float *restrict g = x0 + {flows}, *restrict x = x1 + {given};
float* restrict y = y0 + r * {length};
const float mean = x2[r], scale = 1.0f / sqrtf(x3[r] + {_eps(launch)});
const float level = (float)({level} / {length});
const float slope = (float)({along} * scale * scale / {length});
for (int64_t j = 0; j < {length}; j++) {{
y[j] = scale * fmaf(mean - x[j], slope, {flow} - level);
{"".join(adding[:outs])}
}}
}}"""
    first = Phase(f"{declare(launch)}\n{text}", parts)
    if not outs:
        return Kernel((first,), 4 * parts * length, HEADERS)
    return Kernel((first, _added(launch, parts, outs, length)), 4 * parts * outs * length, HEADERS)


def _added(launch: Launch, chunks: int, outs: int, length: int) -> Phase:
    """Sums [chunks][outs][length] in scratch memory, added up into the outputs from the second."""
    parts, size = cut(length, chunks * outs * length, 16)
    lines = [
        f"""{share("j", length, size)} {{
float s = 0;
for (int64_t c = 0; c < {chunks}; c++) s += sums[(c * {outs} + {i}) * {length} + j];
y{i + 1}[j] = s;
}}"""
        for i in range(outs)
    ]
    head = f"{declare(launch)}\nconst float* sums = (const void*){scratch_pointer(launch)};"
    return Phase("\n".join([head, *lines]), parts)


@emitter("group_norm")
def group_norm(launch: Launch) -> Kernel | None:
    return densified(launch, _group_norm) if _covered(launch) else None


def _group_shape(launch: Launch, place: int) -> tuple[int, int, int, int]:
    """(images, groups, channels of one, elements of a channel)."""
    shape, groups = launch.inputs[place].type.shape, launch.attrs["groups"]
    return shape[0], groups, shape[1] // groups, prod(shape[2:])


def _group_norm(launch: Launch) -> Kernel:
    n, groups, inner, plane = _group_shape(launch, 0)
    length = inner * plane
    parts, size = cut(n * groups, 8 * n * groups * length)
    weight = f"x1[r % {groups} * {inner} + c]" if len(launch.inputs) > 1 else "1.0f"
    bias = f"x2[r % {groups} * {inner} + c]" if len(launch.inputs) > 2 else "0.0f"
    text = f"""{share("r", n * groups, size)} {{
const float* restrict x = x0 + r * {length};
float* restrict y = y0 + r * {length};
const float mean = (float)(gw_sum(x, {length}) / {length});
const float variance = (float)(gw_sum_away(x, mean, {length}) / {length});
const float scale = 1.0f / sqrtf(variance + {_eps(launch)});
for (int64_t c = 0; c < {inner}; c++) {{
const float factor = scale * {weight}, shift = {bias};
for (int64_t j = c * {plane}; j < c * {plane} + {plane}; j++)
y[j] = fmaf(x[j] - mean, factor, shift);
}}
y1[r] = mean;
y2[r] = variance;
}}"""
    return one(f"{declare(launch)}\n{text}", parts, headers=HEADERS)


@emitter("group_norm_grad")
def group_norm_grad(launch: Launch) -> Kernel | None:
    return densified(launch, _group_norm_grad) if _covered(launch) else None


def _group_norm_grad(launch: Launch) -> Kernel:
    n, groups, inner, plane = _group_shape(launch, 1)
    length, channels = inner * plane, groups * inner
    parts, size = cut(n * groups, 12 * n * groups * length)
    outs = len(launch.outputs) - 1
    weight = f"x4[r % {groups} * {inner} + c]" if len(launch.inputs) > 4 else "1.0f"
    keep = (
        f"sums[r * {inner} + c] = along * scale;",
        f"sums[{n * channels} + r * {inner} + c] = h;",
    )
    text = f"""float* sums = (float*){scratch_pointer(launch)};
(void)sums;
{share("r", n * groups, size)} {{
const float *restrict g = x0 + r * {length}, *restrict x = x1 + r * {length};
float* restrict y = y0 + r * {length};
const float mean = x2[r], scale = 1.0f / sqrtf(x3[r] + {_eps(launch)});
double levels = 0, slopes = 0;
for (int64_t c = 0; c < {inner}; c++) {{
const float h = (float)gw_sum(g + c * {plane}, {plane});
const float along = (float)gw_sum_along(g + c * {plane}, x + c * {plane}, mean, {plane});
levels += h * {weight};
slopes += along * {weight};
{"".join(keep[:outs])}
}}
const float level = (float)(levels / {length});
const float slope = (float)(slopes * scale * scale / {length});
for (int64_t c = 0; c < {inner}; c++) {{
const float factor = {weight};
for (int64_t j = c * {plane}; j < c * {plane} + {plane}; j++)
y[j] = scale * fmaf(mean - x[j], slope, g[j] * factor - level);
}}
}}"""
    first = Phase(f"{declare(launch)}\n{text}", parts)
    if not outs:
        return Kernel((first,), 0, HEADERS)
    lines = [
        f"""for (int64_t c = 0; c < {channels}; c++) {{
float s = 0;
for (int64_t i = 0; i < {n}; i++) s += sums[{o * n * channels} + i * {channels} + c];
y{o + 1}[c] = s;
}}"""
        for o in range(outs)
    ]
    head = f"{declare(launch)}\nconst float* sums = (const void*){scratch_pointer(launch)};"
    return Kernel((first, Phase("\n".join([head, *lines]))), 4 * outs * n * channels, HEADERS)

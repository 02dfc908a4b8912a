"""Softmax, its logarithm and cross-entropy: one pass over each row while it is in the cache."""

from __future__ import annotations

from math import prod

from engine.backend.cpu.few_classes import FewClasses, Shares, fits
from engine.backend.cpu.kernels import (
    C_TYPES,
    Kernel,
    Phase,
    cut,
    declare,
    emitter,
    strides_of,
)
from engine.compile.plan import Launch, Slot

_EXP = {"float": "gw_exp", "double": "exp"}
_LOG = {"float": "gw_log", "double": "log"}


def lanes_of(length: int) -> int:
    """How many partial results a row is reduced in."""
    return 16 if length >= 32 else 1


def row_maximum(kind: str, length: int, at: str, result: str) -> str:
    """The largest of `length` numbers; `at`: the number at `j`. NaN counts as largest."""
    return _row(kind, length, at, result, "-INFINITY", "({1} > {0} || {1} != {1}) ? {1} : {0}")


def row_sum(kind: str, length: int, at: str, result: str) -> str:
    return _row(kind, length, at, result, "0", "{0} + {1}")


def _row(kind: str, length: int, at: str, result: str, start: str, joined: str) -> str:
    lanes = lanes_of(length)
    if lanes == 1:
        return (
            f"{kind} {result} = {start};\nfor (int64_t j = 0; j < {length}; j++) "
            f"{{ const {kind} v = {at}; {result} = {joined.format(result, 'v')}; }}"
        )
    step = joined.format(f"{result}_[l]", "v")
    pair = joined.format(f"{result}_[l]", f"{result}_[l + h]")
    return f"""{kind} {result}_[{lanes}];
for (int l = 0; l < {lanes}; l++) {result}_[l] = {start};
for (int64_t b = 0; b + {lanes} <= {length}; b += {lanes}) {{
GW_IVDEP
for (int l = 0; l < {lanes}; l++) {{
const int64_t j = b + l; const {kind} v = {at}; {result}_[l] = {step}; }}
}}
for (int l = 0; l < {length % lanes}; l++) {{
const int64_t j = {length - length % lanes} + l; const {kind} v = {at}; {result}_[l] = {step}; }}
for (int h = {lanes // 2}; h; h /= 2) for (int l = 0; l < h; l++) {result}_[l] = {pair};
const {kind} {result} = {result}_[0];"""


@emitter("softmax", "log_softmax")
def softmax(launch: Launch) -> Kernel | None:
    source, target = launch.inputs[0], launch.outputs[0]
    kind = C_TYPES[source.type.dtype.name]
    if kind not in _EXP:
        return None
    axis, shape = launch.attrs["axis"], source.type.shape
    n = shape[axis]
    step, made = strides_of(source)[axis], strides_of(target)[axis]
    head, parts = _rows(launch, shape, axis, [source, target], 12 * source.type.size)
    x, y = f"x0[o0 + j * {step}]", f"y0[o1 + j * {made}]"
    exp, log = _EXP[kind], _LOG[kind]
    lines = [head, row_maximum(kind, n, x, "top")]
    loop = f"GW_IVDEP\nfor (int64_t j = 0; j < {n}; j++)"
    lines.append(f"{loop} {y} = {exp}({x} - top);")
    lines.append(row_sum(kind, n, y, "sum"))
    if launch.name == "softmax":
        lines.append(f"const {kind} scale = 1 / sum;\n{loop} {y} = {y} * scale;\n}}")
    else:
        lines.append(f"const {kind} rest = {log}(sum);\n{loop} {y} = {x} - top - rest;\n}}")
    return Kernel((Phase("\n".join(lines), parts),))


def _rows(
    launch: Launch, shape: tuple[int, ...], axis: int, slots: list[Slot], work: int
) -> tuple[str, int]:
    """A loop over all rows along an axis, with the offset `o0`, `o1`, … of each slot's row."""
    lengths = [n for i, n in enumerate(shape) if i != axis]
    rows = prod(lengths)
    parts, size = cut(rows, work)
    lines = [
        declare(launch),
        f"for (int64_t u = part * {size}; u < GW_MIN(part * {size} + {size}, {rows}); u++) {{",
        "int64_t q = u; (void)q;",
        "int64_t " + ", ".join(f"o{i} = 0" for i in range(len(slots))) + ";",
    ]
    strides = [
        [s for i, s in enumerate(strides_of(slot)) if i != axis or slot.type.ndim < len(shape)]
        for slot in slots
    ]
    for place in reversed(range(len(lengths))):
        n = lengths[place]
        if n == 1:
            continue
        steps = " ".join(f"o{i} += g * {s[place]};" for i, s in enumerate(strides) if s[place])
        lines.append(f"{{ const int64_t g = q % {n}; {steps} q /= {n}; (void)g; }}")
    return "\n".join(lines), parts


@emitter("cross_entropy", "cross_entropy_grad")
def cross_entropy(launch: Launch) -> Kernel | None:
    """Both walk the rows of scores; a class that does not exist is left to the reference."""
    backward = launch.name == "cross_entropy_grad"
    given = launch.inputs[1:] if backward else launch.inputs
    x, target = given[0], given[1]
    kind = C_TYPES[x.type.dtype.name]
    if kind not in _EXP:
        return None
    if fits(x):
        return FewClasses(launch, int(backward), kind, _EXP[kind], _LOG[kind]).kernel()
    slots = [x, target, launch.outputs[0], *launch.inputs[:1]]
    head, parts = _rows(launch, x.type.shape, 1, slots if backward else slots[:3], 14 * x.type.size)
    writer = _CrossEntropy(launch, kind, 1 if backward else 0)
    lines = [head, writer.opening()]
    lines.append(writer.gradient() if backward else writer.loss())
    return Kernel((Phase("\n".join(lines) + "\n}", parts),))


class _CrossEntropy:
    """Statements for one row."""

    def __init__(self, launch: Launch, kind: str, first: int) -> None:
        self.kind, self.first = kind, first
        scores = launch.inputs[first]
        self.classes = scores.type.shape[1]
        self.scores = f"x{first}[o0 + j * {strides_of(scores)[1]}]"
        self.made = strides_of(launch.outputs[0])[1:2]
        self.shares = Shares(launch, first, kind)
        self.ignored = launch.attrs["ignore_index"]

    def opening(self) -> str:
        """The class, whether it counts, the largest score and the sum of the exponentials."""
        kind = self.kind
        shifted = f"{_EXP[kind]}({self.scores} - top)"
        return f"""const int64_t t_ = (int64_t)x{self.first + 1}[o1];
const int counts = t_ != {self.ignored};
const int64_t t = counts ? t_ : 0;
if (t < 0 || t >= {self.classes}) {{ GW_REFUSE(); return; }}
{row_maximum(kind, self.classes, self.scores, "top")}
const {kind} own = {self.shares.own("t")};
{self._sum(shifted)}"""

    def _sum(self, shifted: str) -> str:
        return row_sum(self.kind, self.classes, shifted, "sum") if self.first == 0 else ""

    def loss(self) -> str:
        kind, at = self.kind, self.scores.replace("j *", "t *")
        lines = [
            f"const {kind} total = {_LOG[kind]}(sum);",
            f"{kind} found = (total - ({at} - top)) * own;",
        ]
        if self.shares.smoothing:
            part = f"(total - ({self.scores} - top)) * {self.shares.each()}"
            lines += [row_sum(kind, self.classes, part, "rest"), "found += rest;"]
        lines.append("y0[o2] = found * counts;")
        return "\n".join(lines)

    def gradient(self) -> str:
        kind, y = self.kind, f"y0[o2 + j * {self.made[0]}]"
        loop = f"GW_IVDEP\nfor (int64_t j = 0; j < {self.classes}; j++)"
        lines = [
            f"{loop} {y} = {_EXP[kind]}({self.scores} - top);",
            row_sum(kind, self.classes, y, "sum"),
        ]
        whole, share = "own", ""
        if self.shares.smoothing:
            lines.append(row_sum(kind, self.classes, self.shares.each(), "shares"))
            whole, share = "(own + shares)", f" - {self.shares.each()}"
        lines += [
            f"const {kind} scale = {whole} / sum, flow = x0[o3] * counts;",
            f"{loop} {y} = ({y} * scale{share} - (j == t ? own : 0)) * flow;",
        ]
        return "\n".join(lines)

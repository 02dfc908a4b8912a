"""Reductions over any axes, in an order that the shapes alone decide.

Numbers are added in lanes over short blocks, the lanes of a block pairwise, and the blocks in
float64: so the error does not grow with the length. What a reduction reads may be computed on the
way from several tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

from engine.backend.cpu.functions import loose
from engine.backend.cpu.kernels import (
    C_TYPES,
    PART_WORK,
    Kernel,
    Phase,
    cut,
    declare,
    emitter,
    scratch_pointer,
)
from engine.backend.cpu.loops import aligned, index
from engine.backend.cpu.pointwise import Statements, cost
from engine.backend.cpu.shares import part_of, share
from engine.compile.plan import Launch, Slot
from engine.ops.scalar import Expr, argument

BLOCK = 4096  # elements of a row that are added in float before float64 takes over
ROWS = 128  # the same down a column
TILE = 64  # columns that are worked on at once
FEW = 16  # elements of a row, up to which they are added one by one
CHUNKS = 16  # most pieces that a long reduction is cut into
LONG = 512  # rows from which sums of columns are cut into them

_LEAST = {"float": "-INFINITY", "double": "-INFINITY", "int8_t": "INT8_MIN",
          "int32_t": "INT32_MIN", "int64_t": "INT64_MIN", "uint8_t": "0", "uint32_t": "0",
          "uint64_t": "0"}  # fmt: skip
_MOST = {"float": "INFINITY", "double": "INFINITY", "int8_t": "INT8_MAX",
         "int32_t": "INT32_MAX", "int64_t": "INT64_MAX", "uint8_t": "UINT8_MAX",
         "uint32_t": "UINT32_MAX", "uint64_t": "UINT64_MAX"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """How two partial results become one.

    start: the result of nothing. joined: of `{0}` so far and `{1}`. block, whole: the C types in
    which blocks, and then all of them, are held. value: what an element `{0}` counts as.
    """

    start: str
    joined: str
    block: str
    whole: str
    value: str = "{0}"

    def join(self, target: str, value: str) -> str:
        return f"{target} = {self.joined.format(target, value)};"


def rule_of(how: str, kind: str) -> Rule | None:
    floating = kind in ("float", "double")
    wide = "double" if floating else "int64_t"
    narrow = kind if floating else "int64_t"
    match how:
        case "sum":
            return Rule("0", "{0} + {1}", narrow, wide)
        case "prod":
            return Rule("1", "{0} * {1}", narrow, wide)
        case "amax":
            return Rule(_LEAST[kind], "({1} > {0} || {1} != {1}) ? {1} : {0}", kind, kind)
        case "amin":
            return Rule(_MOST[kind], "({1} < {0} || {1} != {1}) ? {1} : {0}", kind, kind)
        case "any":
            return Rule("0", "{0} | {1}", "int32_t", "int32_t", "{0} != 0")
        case "all":
            return Rule("1", "{0} & {1}", "int32_t", "int32_t", "{0} != 0")
    return None


@emitter("sum", "prod", "amax", "amin", "any", "all")
def reduce(launch: Launch) -> Kernel | None:
    kind = C_TYPES[launch.inputs[0].type.dtype.name]
    return reduced(launch, (argument(0),), launch.name, kind)


@emitter("fused_reduce")
def fused_reduce(launch: Launch) -> Kernel | None:
    roots, kind = launch.attrs["roots"], C_TYPES[launch.attrs["kind"]]
    if roots[0].is_predicate and launch.attrs["how"] == "sum":
        return None
    return reduced(launch, roots, launch.attrs["how"], kind)


def reduced(launch: Launch, roots: Sequence[Expr], how: str, kind: str) -> Kernel | None:
    """A reduction of an expression over the inputs; `axes` are of their common shape."""
    rule = rule_of(how, kind)
    if rule is None:
        return None
    ndim = max(slot.type.ndim for slot in launch.inputs)
    sizes = [[1] * (ndim - s.type.ndim) + list(s.type.shape) for s in launch.inputs]
    shape = tuple(max(column) for column in zip(*sizes, strict=True)) if ndim else ()
    nest = Nest.of(launch.inputs, shape, launch.attrs["axes"])
    body = Statements(roots, kind)
    if not body.complete:
        return None
    writer = _Writer(launch, nest, rule, body, roots[0], cost(roots) + 1)
    return writer.kernel()


@dataclass(slots=True)
class Nest:
    """Axes of a reduction, merged: (length, strides, whether it is kept), outermost first."""

    axes: list[tuple[int, tuple[int, ...], bool]] = field(default_factory=list)

    @classmethod
    def of(cls, slots: Sequence[Slot], shape: tuple[int, ...], axes: Sequence[int]) -> Nest:
        rows = [aligned(slot, shape) for slot in slots]
        done: list[tuple[int, tuple[int, ...], bool]] = []
        for i, n in enumerate(shape):
            strides, kept = tuple(r[i] for r in rows), i not in axes
            if n == 1:
                continue
            if done and done[-1][2] == kept:
                length, outer, _ = done[-1]
                if all(o == s * n for o, s in zip(outer, strides, strict=True)):
                    done[-1] = (length * n, strides, kept)
                    continue
            done.append((n, strides, kept))
        if all(axis[2] for axis in done):
            done.insert(0, (1, tuple(0 for _ in slots), False))
        return cls(done)

    def places(self, kept: bool) -> list[int]:
        return [i for i, axis in enumerate(self.axes) if axis[2] == kept]


class _Writer:
    """The C of one reduction."""

    def __init__(
        self, launch: Launch, nest: Nest, rule: Rule, body: Statements, root: Expr, work: int
    ) -> None:
        self.launch, self.nest, self.rule, self.body, self.root = launch, nest, rule, body, root
        self.kept, self.summed = nest.places(True), nest.places(False)
        self.last = len(nest.axes) - 1
        self.is_row = self.last not in self.kept
        self.outputs = prod(nest.axes[i][0] for i in self.kept)
        length = nest.axes[self.last][0]
        self.tile = 1 if self.is_row else min(TILE, length)
        self.tiles = 1 if self.is_row else -(-length // self.tile)
        self.units = self.outputs if self.is_row else self.outputs // length * self.tiles
        self.work = work * prod(axis[0] for axis in nest.axes)
        self.parts, self.size = cut(self.units, self.work)
        self.chunks, self.chunk = self._chunks()

    def _chunks(self) -> tuple[int, int]:
        """Pieces of the outermost summed axis, where there are too few results to share out; and of
        a long matrix that is added up row by row, as whoever makes its rows then reads them."""
        if not self.summed:
            return 1, 0
        length = self.nest.axes[self.summed[0]][0]
        is_tall = not self.is_row and not self.summed[0] and length >= LONG
        if self.work < (1 if is_tall else 4) * PART_WORK or (self.parts >= 4 and not is_tall):
            return 1, 0
        least = 2 if is_tall else 1
        chunks = max(least, min(CHUNKS, self.work // (2 * PART_WORK), length // 8))
        size = -(-length // chunks)
        return -(-length // size), size

    def kernel(self) -> Kernel:
        result = C_TYPES[self.launch.outputs[0].type.dtype.name]
        head = declare(self.launch)
        if self.chunks == 1:
            text = self._units("part", f"({result})", "y0", self.parts, self.size)
            return Kernel((Phase(f"{head}\n{text}", self.parts),))
        whole = self.rule.whole
        scratch = f"{whole}* z = ({whole}*){scratch_pointer(self.launch)};"
        target = f"(z + part * {loose(self.outputs)})"
        first = f"{head}\n{scratch}\n{self._units('0', '', target, 1, self.units)}"
        parts, size = cut(self.outputs, self.outputs * self.chunks, 16)
        last = (
            f"{head}\n{scratch}\n{share('o', self.outputs, size)} {{\n"
            f"{whole} w = {self.rule.start};\n"
            f"for (int64_t c = 0; c < {loose(self.chunks)}; c++) "
            f"{self.rule.join('w', f'z[c * {loose(self.outputs)} + o]')}\n"
            f"y0[o] = ({result})w;\n}}"
        )
        nbytes = 8 * self.outputs * self.chunks
        adding = self.outputs * self.chunks
        phases = (Phase(first, self.chunks), Phase(last, parts, adding))
        return Kernel(phases, nbytes)

    def _units(self, part: str, result: str, target: str, parts: int, size: int) -> str:
        """All results of a part: one by one, or tile by tile."""
        start, stop = part_of(self.units, size, part)
        unit = self._row(result, target) if self.is_row else self._column(result, target)
        return f"for (int64_t u = {start}; u < {stop}; u++) {{\n{self._decoded()}{unit}\n}}"

    def _decoded(self) -> str:
        """The kept axes that unit `u` stands for."""
        kept = self.kept if self.is_row else self.kept[:-1]
        lines = []
        if not self.is_row:
            lines.append(f"const int64_t c0 = u % {loose(self.tiles)} * {self.tile};")
            lines.append(f"int64_t o = u / {loose(self.tiles)};")
        else:
            lines.append("int64_t o = u;")
        for place, axis in enumerate(reversed(kept)):
            n = loose(self.nest.axes[axis][0])
            rest = "o" if place == len(kept) - 1 else f"o % {n}"
            lines.append(f"const int64_t i{axis} = {rest};")
            lines.append(f"o /= {n};" if place < len(kept) - 1 else "")
        return "\n".join([*filter(None, lines), "(void)o;\n"])

    def _nested(self, axes: Sequence[int], inside: Callable[[], str]) -> str:
        """Loops over summed axes; the outermost may be cut into chunks."""
        lines = []
        for axis in axes:
            n = self.nest.axes[axis][0]
            start, stop = self._range(axis, n)
            lines.append(f"for (int64_t i{axis} = {start}; i{axis} < {stop}; i{axis}++) {{")
        return "\n".join([*lines, inside(), "}" * len(axes)])

    def _range(self, axis: int, n: int) -> tuple[str, str]:
        if self.chunks > 1 and axis == self.summed[0]:
            return part_of(n, self.chunk)
        return "0", str(n) if axis == self.last and n < FEW else loose(n)

    def _value(self, step: str) -> str:
        """Statements that make `v` of the element at the loop variables; `step`: the inner one."""
        lines = []
        value = self.rule.value.format(self.body.names[self.root])
        for i, slot in enumerate(self.launch.inputs):
            strides = [axis[1][i] for axis in self.nest.axes]
            at = index(strides)
            lines.append(f"const {C_TYPES[slot.type.dtype.name]} a{i} = x{i}[{at}];")
        return "\n".join(
            [
                f"const int64_t i{self.last} = {step};",
                *lines,
                *self.body.lines[0],
                f"const {self.rule.block} v = {value};",
            ]
        )

    def _row(self, result: str, target: str) -> str:
        n = self.nest.axes[self.last][0]
        lanes = 64 if n >= 256 else 16 if n >= FEW else 1
        rule, block = self.rule, self.rule.block
        start, stop = self._range(self.last, n)

        def inside() -> str:
            if lanes == 1:
                return (
                    f"{block} s = {rule.start};\n"
                    f"for (int64_t j = {start}; j < {stop}; j++) {{\n{self._value('j')}\n"
                    f"{rule.join('s', 'v')}\n}}\n{rule.join('w', 's')}"
                )
            return f"""
for (int64_t b = {start}; b < {stop}; b += {BLOCK}) {{
const int64_t e = GW_MIN(b + {BLOCK}, {stop});
int64_t j = b;
{block} s[{lanes}];
for (int l = 0; l < {lanes}; l++) s[l] = {rule.start};
for (; j + {lanes} <= e; j += {lanes}) {{
GW_IVDEP
for (int l = 0; l < {lanes}; l++) {{
{self._value("j + l")}
{rule.join("s[l]", "v")}
}}
}}
for (int l = 0; j + l < e; l++) {{
{self._value("j + l")}
{rule.join("s[l]", "v")}
}}
for (int h = {lanes // 2}; h; h /= 2)
for (int l = 0; l < h; l++) {{ {rule.join("s[l]", "s[l + h]")} }}
{rule.join("w", "s[0]")}
}}"""

        body = self._nested([i for i in self.summed if i != self.last], inside)
        return f"{rule.whole} w = {rule.start};\n{body}\n{target}[u] = {result}w;"

    def _column(self, result: str, target: str) -> str:
        n = self.nest.axes[self.last][0]
        tile = self.tile
        base = f"u / {loose(self.tiles)} * {loose(n)} + c0"
        whole = self._tile(str(tile), f"{target}[{base} + l] = {result}d[l];")
        if n % tile == 0:
            return whole
        rest = self._tile(str(n % tile), f"{target}[{base} + l] = {result}d[l];")
        return f"if (c0 + {tile} <= {loose(n)}) {{\n{whole}\n}} else {{\n{rest}\n}}"

    def _tile(self, width: str, store: str) -> str:
        rule = self.rule
        inner = self.summed[-1]
        length = self.nest.axes[inner][0]
        start, stop = self._range(inner, length)

        def inside() -> str:
            return f"""
for (int64_t b = {start}; b < {stop}; b += {ROWS}) {{
const int64_t e = GW_MIN(b + {ROWS}, {stop});
{rule.block} s[{width}];
for (int l = 0; l < {width}; l++) s[l] = {rule.start};
for (int64_t i{inner} = b; i{inner} < e; i{inner}++) {{
GW_IVDEP
for (int l = 0; l < {width}; l++) {{
{self._value("c0 + l")}
{rule.join("s[l]", "v")}
}}
}}
for (int l = 0; l < {width}; l++) {{ {rule.join("d[l]", "s[l]")} }}
}}"""

        body = self._nested(self.summed[:-1], inside)
        return (
            f"{rule.whole} d[{width}];\n"
            f"for (int l = 0; l < {width}; l++) d[l] = {rule.start};\n{body}\n"
            f"for (int l = 0; l < {width}; l++) {store}"
        )


@emitter("argmax", "argmin")
def arg(launch: Launch) -> Kernel:
    """The first best along an axis; a NaN is better than any number."""
    source, axis = launch.inputs[0], launch.attrs["axis"]
    sign = ">" if launch.name == "argmax" else "<"
    nest = Nest.of([source], source.type.shape, (axis,))
    summed = nest.places(False)
    outputs = launch.outputs[0].type.size
    parts, size = cut(outputs, 2 * source.type.size)
    lines = [
        declare(launch),
        f"for (int64_t u = part * {size}; u < GW_MIN(part * {size} + {size}, {outputs}); u++) {{",
        "int64_t o = u;",
    ]
    for place in reversed(nest.places(True)):
        n = nest.axes[place][0]
        lines.append(f"const int64_t i{place} = o % {n}; o /= {n};")
    offset = index([0 if i in summed else a[1][0] for i, a in enumerate(nest.axes)])
    n, (stride,), _ = nest.axes[summed[0]]
    kind = C_TYPES[source.type.dtype.name]
    lines.append(f"""const {kind}* x = x0 + {offset};
{kind} best = x[0];
int64_t at = 0;
for (int64_t j = 1; j < {n}; j++) {{
const {kind} v = x[j * {stride}];
const int better = (v {sign} best || v != v) && best == best;
best = better ? v : best;
at = better ? j : at;
}}
(void)o;
y0[u] = at;
}}""")
    return Kernel((Phase("\n".join(lines), parts),))

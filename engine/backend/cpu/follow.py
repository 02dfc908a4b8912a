"""What is done to each element of a matrix product once it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.backend.cpu.kernels import C_TYPES, strides_of
from engine.backend.cpu.loops import aligned
from engine.backend.cpu.pointwise import Statements
from engine.compile.plan import Launch, Slot
from engine.ops.scalar import Expr, argument, is_zero


@dataclass(frozen=True, slots=True)
class Follow:
    """Expressions of the product (input 0) and of further inputs, seen as [batch, rows, columns].

    first: the place among the inputs of the launch of the first further one.
    strides: of each further input but those that say which rows of tables are taken.
    """

    launch: Launch
    first: int
    roots: Sequence[Expr]
    body: Statements
    strides: tuple[tuple[int, int, int], ...]
    kind: str

    @classmethod
    def of(
        cls, launch: Launch, first: int, roots: Sequence[Expr], batch: int, kind: str
    ) -> Follow | None:
        """None where C lacks a primitive, or three strides are too few. batch: of the product."""
        shape = launch.outputs[0].type.shape
        gathers = _gathers(launch)
        further = launch.inputs[first : len(launch.inputs) - len(gathers)]
        strides = []
        for place, slot in enumerate(further):
            if place in gathers:
                strides.append((0, 0, strides_of(slot)[1]))
                continue
            found = _three(slot, shape, batch)
            if found is None:
                return None
            strides.append(found)
        body = Statements(roots, kind, inputs=_names(strides))
        return cls(launch, first, roots, body, tuple(strides), kind) if body.complete else None

    @property
    def end(self) -> str | None:
        """What tiles do at their end, as the last arguments of `gw_gemm`: a number added to each
        column, and whether what is below 0 becomes 0. None if that is not all."""
        if len(self.roots) != 1:
            return None
        (root,) = self.roots
        relu = root.op == "relu"
        inner = root.args[0] if relu else root
        bias = inner == argument(0) + argument(1) and self.strides == ((0, 0, 1),)
        if not bias and inner != argument(0):
            return None
        if bias and self.launch.inputs[self.first].type.dtype.name != "float32":
            return None
        return f", {f'x{self.first} + s' if bias else '0'}, {int(relu)}"

    @property
    def only_chooses(self) -> bool:
        """Whether elements stay as they are where they are wanted."""
        return len(self.roots) == 1 and self.roots[0].args[1:2] == (argument(0),)

    def lines(
        self, height: int, width: int, made: tuple[list[str], str] | None = None
    ) -> list[str]:
        """Loops over the rows and columns of a part. made: lines before those of a row, and an
        element of the product; otherwise that lies where the result will."""
        if made is None and tuple(self.roots) == (argument(0),):
            return []
        at = f"m * {height * width} + i * {width} + j"
        before, element = made or ([], f"y0[{at}]")
        stores = [
            f"y{place}[{at}] = {self.body.names[root]};" for place, root in enumerate(self.roots)
        ]
        return self._loops(before, [f"const {self.kind} t = {element};"], self.body, stores)

    def choice(self, wanted: Expr, height: int, width: int) -> tuple[list[str], str, int]:
        """Where numbers above 0 say that elements are wanted, and how far rows are apart there; and
        loops that write them, to where the elements will be, unless they are an input."""
        if wanted.op == "gt" and wanted.args[0].op == "input" and is_zero(wanted.args[1]):
            place = wanted.args[0].value - 1
            outer, down, along = self.strides[place]
            slot = self.launch.inputs[self.first + place]
            plain = along == 1 and place not in _gathers(self.launch)
            if plain and slot.type.dtype.name == "float32":
                return [], f"x{self.first + place} + m * {outer} + r * {down} + s", down
        body = Statements((wanted,), self.kind, inputs=_names(self.strides))
        at = f"m * {height * width} + i * {width} + j"
        loops = self._loops([], [], body, [f"y0[{at}] = {body.names[wanted]} != 0;"])
        return loops, f"y0 + m * {height * width} + r * {width} + s", width

    def _loops(
        self, before: list[str], head: list[str], body: Statements, stores: list[str]
    ) -> list[str]:
        gathers, loads, rows = _gathers(self.launch), [], []
        for place, (outer, down, along) in enumerate(self.strides):
            slot = self.launch.inputs[self.first + place]
            row = f"m * {outer} + i * {down}"
            if place in gathers:
                rows.append(self._row(place, gathers[place]))
                row = f"g{place}"
            loads.append(
                f"const {C_TYPES[slot.type.dtype.name]} a{place} = "
                f"x{self.first + place}[{row} + j * {along}];"
            )
        return [
            "for (int64_t i = r; i < r + h; i++) {",
            *rows,
            *before,
            "GW_IVDEP",
            "for (int64_t j = s; j < s + w; j++) {",
            *head,
            *loads,
            *body.lines[0],
            *stores,
            "}}",
        ]

    def _row(self, table: int, places: int) -> str:
        """Where the row of a table begins that row i of the product takes."""
        rows, _ = self.launch.inputs[self.first + table].type.shape
        pitch = strides_of(self.launch.inputs[self.first + table])[0]
        step = strides_of(self.launch.inputs[self.first + places])[0]
        return (
            f"const int64_t p{table}_ = (int64_t)x{self.first + places}[i * {step}];\n"
            f"if (p{table}_ < 0 || p{table}_ >= {rows}) {{ GW_REFUSE(); return; }}\n"
            f"const int64_t g{table} = p{table}_ * {pitch};"
        )


def _gathers(launch: Launch) -> dict[int, int]:
    """Of further inputs that are tables the input that says which row is taken."""
    return dict(launch.attrs.get("gathers", ()))


def _names(further: Sequence[object]) -> dict[int, str]:
    """What the product and the further inputs are called."""
    return {0: "t"} | {i + 1: f"a{i}" for i in range(len(further))}


def _three(slot: Slot, shape: tuple[int, ...], batch: int) -> tuple[int, int, int] | None:
    """Strides of a further input over [batch, rows, columns]; None where three are too few."""
    *outer, along = aligned(slot, shape)
    count = 1 if batch > 1 else 0
    lead = list(zip(shape[:-1], outer, strict=True))
    below, above = (lead[-1:], lead[:-1]) if count else (lead, [])
    down, up = _single(below), _single(above)
    return None if down is None or up is None else (up, down, along)


def _single(axes: Sequence[tuple[int, int]]) -> int | None:
    """The one stride of several axes that follow each other."""
    known = [(n, s) for n, s in axes if n != 1]
    for (_, outer), (n, inner) in pairwise(known):
        if outer != n * inner:
            return None
    return known[-1][1] if known else 0

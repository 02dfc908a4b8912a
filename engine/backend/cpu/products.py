"""Matrix products cut into parts of rows and columns, with what follows element by element.

Products of float are made by tiles of our own (`gemm.h`), the largest and those of double by BLAS.
Transposed matrices are read where they lie. What follows a product (bias, activation) is applied
to a part while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import prod

from engine.backend.cpu.follow import Follow
from engine.backend.cpu.grid import WIDE, Cut, Grid, cut_evenly, grid_of
from engine.backend.cpu.kernels import (
    C_TYPES,
    Kernel,
    Phase,
    cut,
    declare,
    emitter,
    scratch_pointer,
    strides_of,
)
from engine.backend.cpu.loops import aligned
from engine.backend.cpu.schedule import work_of
from engine.compile.plan import Launch, Slot
from engine.ops.fused import DENSE, Sparse
from engine.ops.scalar import Expr, argument, is_zero, walk

#: Operations of a part where several small products make one.
PART_FLOPS = 250_000
#: Operations from which BLAS is faster, of one product; and of a part that is worth its packing.
BLAS_FLOPS, BLAS_PART_FLOPS = 4_000_000_000, 900_000
BLAS_PARTS, BLAS_LENGTH = 8, 96
#: Operations from which zeros are looked for.
SPARSE_FLOPS = 8_000_000
#: Depth up to which an element is made when what follows it is.
THIN_DEPTH = 4
#: Depth from which elements that nobody wants may be left out: GW_CHOSEN_LEAST of `chosen.h`.
CHOSEN_DEPTH = 96
#: Depth from which a sum is made in two halves, if so many numbers are read for one of the result.
HALVED_DEPTH, HALVED_RATE = 512, 4
#: Operations from which the halves of a sum are made by who made what they read, and of adding to a
#: number that another processor has.
SHARED_FLOPS, SHARED_COST = 1_000_000, 16


@dataclass(frozen=True, slots=True)
class Matrix:
    """rows and columns, and the strides between them, in elements."""

    rows: int
    columns: int
    down: int
    along: int

    def told(self) -> tuple[str, int] | None:
        """Whether BLAS must transpose it, and its leading dimension; None if it cannot read it."""
        if self.along == 1 or self.columns == 1:
            down = self.columns if self.rows == 1 else self.down
            if down >= self.columns and (self.along == 1 or down > 0):
                return "GW_PLAIN", down
        if self.down == 1 or self.rows == 1:
            along = self.rows if self.columns == 1 else self.along
            if along >= self.rows:
                return "GW_TRANSPOSED", along
        return None

    def turned(self) -> Matrix:
        return Matrix(self.columns, self.rows, self.along, self.down)


@dataclass(frozen=True, slots=True)
class Product:
    """[m, k] @ [k, n] for every combination of the outer axes: (length, strides of a, of b).

    sparse: of a and of b, whether many numbers are likely to be 0.
    chosen: where an element is wanted, if not everywhere.
    """

    a: Matrix
    b: Matrix
    outer: tuple[tuple[int, int, int], ...]
    kind: str
    sparse: Sparse = DENSE
    chosen: Expr | None = None

    @property
    def flops(self) -> int:
        """Of one of the batch."""
        return 2 * self.a.rows * self.a.columns * self.b.columns

    @property
    def is_tiled(self) -> bool:
        """Whether tiles of our own are faster than BLAS."""
        return self.kind == "float" and self.flops < BLAS_FLOPS

    @property
    def sides(self) -> int:
        """Where zeros are looked for: GW_LEFT | GW_RIGHT of `sparse.h`."""
        return self.sparse[0] + 2 * self.sparse[1]

    @property
    def is_thin(self) -> bool:
        """Whether elements are sums of so few products that they are made where they are wanted."""
        return self.kind == "float" and self.a.columns <= THIN_DEPTH and self.b.along == 1

    @property
    def is_halved(self) -> bool:
        """Whether the first half of a long sum is made apart from the second, as in gradients of
        weights. Who made rows of both matrices, and will make them again, then is who reads them:
        what another processor has read takes several times as long to write.
        """
        rows, depth, columns = self.a.rows, self.a.columns, self.b.columns
        read, made = depth * (rows + columns), rows * columns
        turned = self.a.along != 1 and self.b.along == 1
        return (
            self.is_tiled and turned and not self.outer
            and depth >= HALVED_DEPTH and read >= HALVED_RATE * made
        )  # fmt: skip

    @property
    def is_shared(self) -> bool:
        """Whether the two halves of a sum are made apart, as in gradients of what went into a layer
        that is wider than its batch. What comes out of such a layer is shared by columns, and so
        its weights are by rows: each half is read by who made it, and no weight by anybody else.
        """
        rows, depth, columns = self.a.rows, self.a.columns, self.b.columns
        plain = self.a.along == 1 and self.b.along == 1 and self.b.down > 1
        return (
            self.is_tiled and plain and not self.outer and not any(self.sparse)
            and rows < depth and self.flops >= SHARED_FLOPS
            and depth * (rows + columns) >= 2 * rows * columns
        )  # fmt: skip

    @property
    def chooses(self) -> bool:
        """Whether elements that are not wanted may be left out."""
        plain = self.a.along == 1 and self.b.along == 1
        return self.chosen is not None and plain and self.a.columns >= CHOSEN_DEPTH

    @property
    def is_in_halves(self) -> bool:
        return self.is_halved or self.is_shared

    def grid(self) -> Grid:
        """How one of the batch, or half of it, is cut; by shapes alone."""
        rows, columns, depth = self.a.rows, self.b.columns, self.a.columns
        if self.is_tiled:
            times = 2 if self.is_in_halves else 1
            sparse = DENSE if self.chooses else self.sparse
            return grid_of(rows, columns, depth // times, self.a.along != 1, sparse, times)
        length = max(rows, columns)
        parts = min(BLAS_PARTS, self.flops // BLAS_PART_FLOPS, length // BLAS_LENGTH)
        counts = (parts, 1) if rows >= columns else (1, parts)
        return Grid(cut_evenly(rows, counts[0], 16), cut_evenly(columns, counts[1], 16))


@emitter("matmul")
def matmul(launch: Launch) -> Kernel | None:
    return product_of(launch, _matmul(launch), 2, (argument(0),))


@emitter("linear")
def linear(launch: Launch) -> Kernel | None:
    roots = (argument(0),) if len(launch.inputs) == 2 else (argument(0) + argument(1),)
    return product_of(launch, _linear(launch), 2, roots)


@emitter("fused_product")
def fused_product(launch: Launch) -> Kernel | None:
    product = _matmul(launch) if launch.attrs["base"] == "matmul" else _linear(launch)
    if product is not None and product.flops >= SPARSE_FLOPS:
        sparse = launch.attrs.get("sparse", DENSE)
        product = replace(product, sparse=sparse, chosen=_chosen(launch.attrs["roots"]))
    return product_of(launch, product, 2, launch.attrs["roots"])


def _chosen(roots: Sequence[Expr]) -> Expr | None:
    """Where what follows a product looks at it at all, as the slope of a ReLU does."""
    if len(roots) != 1 or roots[0].op != "where":
        return None
    (root,) = roots
    choice, _, otherwise = root.args
    return choice if is_zero(otherwise) and argument(0) not in walk((choice,)) else None


def _matmul(launch: Launch) -> Product | None:
    a, b = launch.inputs[:2]
    batch = launch.outputs[0].type.shape[:-2]
    first, second = (aligned(_leading(slot), batch) for slot in (a, b))
    outer = tuple((n, p, q) for n, p, q in zip(batch, first, second, strict=True) if n != 1)
    return _product(_last_two(a), _last_two(b), outer, a)


def _linear(launch: Launch) -> Product | None:
    """x has any number of leading axes, which must make one."""
    x, weight = launch.inputs[:2]
    rows = _flat(x)
    return None if rows is None else _product(rows, _last_two(weight).turned(), (), x)


def _product(
    a: Matrix, b: Matrix, outer: tuple[tuple[int, int, int], ...], slot: Slot
) -> Product | None:
    kind = C_TYPES[slot.type.dtype.name]
    if kind not in ("float", "double") or a.told() is None or b.told() is None:
        return None
    return Product(a, b, outer, kind)


def _leading(slot: Slot) -> Slot:
    """A slot without its last two axes."""
    kind = type(slot.type)(slot.type.shape[:-2], slot.type.dtype)
    place = type(slot.place)(slot.place.buffer, slot.place.offset, slot.place.strides[:-2])
    return Slot(kind, place)


def _last_two(slot: Slot) -> Matrix:
    return Matrix(*slot.type.shape[-2:], *strides_of(slot)[-2:])


def _flat(slot: Slot) -> Matrix | None:
    """All axes but the last as one; None where they do not follow each other."""
    *lengths, columns = slot.type.shape
    *strides, along = strides_of(slot)
    axes = [(n, s) for n, s in zip(lengths, strides, strict=True) if n != 1]
    for (_, outer), (n, inner) in pairwise(axes):
        if outer != n * inner:
            return None
    return Matrix(prod(lengths), columns, axes[-1][1] if axes else columns, along)


def product_of(
    launch: Launch, product: Product | None, first: int, roots: Sequence[Expr]
) -> Kernel | None:
    """The kernel of a product followed by expressions of it (input 0) and of further inputs.

    first: the place among the inputs of the launch of the first further one.
    """
    if product is None:
        return None
    batch = prod(n for n, _, _ in product.outer)
    follow = Follow.of(launch, first, roots, batch, product.kind)
    if follow is None:
        return None
    if product.is_in_halves:
        return _in_halves(launch, product, follow)
    grid = product.grid()
    together = max(1, PART_FLOPS // max(1, product.flops)) if grid.parts == 1 else 1
    together = min(batch, together)
    lines = [declare(launch), _batch(batch, together, grid.parts)]
    lines += _offsets(product)
    lines += _ranges(grid)
    lines += _made(product, follow)
    lines.append("}")
    parts = -(-batch // together) * grid.parts
    return Kernel((Phase("\n".join(lines), parts),), headers=("gemm.h",))


def _made(product: Product, follow: Follow) -> list[str]:
    """The product of a part, and what follows it."""
    a, b = product.a, product.b
    if product.is_thin:
        return follow.lines(a.rows, b.columns, _thin(product))
    further = follow.lines(a.rows, b.columns)
    if not product.is_tiled:
        return [_by_blas(product), *further]
    tiles = partial(_by_tiles, product, str(a.columns), "ma", "mb", _target(product))
    if product.chosen is not None and product.chooses:
        choice, wanted, row = follow.choice(product.chosen, a.rows, b.columns)
        end = f", {wanted}, {row}, {product.sides}"
        return [
            "#ifdef GW_CHOOSES",
            *choice,
            f"const int ready = {tiles('gw_gemm_chosen', end)}",
            "#else",
            "const int ready = 0;",
            tiles(),
            "#endif",
            f"if ({int(not follow.only_chooses)} || !ready) {{",
            *further,
            "}",
        ]
    ready = follow.end
    return [tiles(), *further] if ready is None else [tiles(end=ready)]


def _thin(product: Product) -> tuple[list[str], str]:
    """Numbers of a row, and an element: the sum of few products."""
    a, b = product.a, product.b
    numbers = [
        f"const float p{k} = x0[ma + i * {a.down} + {k * a.along}];" for k in range(a.columns)
    ]
    made = "0"
    for k in range(a.columns):
        made = f"fmaf(p{k}, x1[mb + {k * b.down} + j], {made})"
    return numbers, made


def _in_halves(launch: Launch, product: Product, follow: Follow) -> Kernel:
    """The first half of the sums goes to the result, the second to scratch memory; then they are
    added up."""
    a, b, grid = product.a, product.b, product.grid()
    rows, columns, middle = a.rows, b.columns, a.columns // 2
    scratch = f"float* z = (void*){scratch_pointer(launch)};"
    first = [declare(launch), scratch, f"const int64_t second = part / {grid.parts};"]
    first += [f"const int64_t k = second * {middle};", *_ranges(grid)]
    some = f"second ? {a.columns - middle} : {middle}"
    target = f"(second ? z : y0) + r * {columns} + s"
    first.append(_by_tiles(product, some, f"k * {a.along}", f"k * {b.down}", target))
    last = [declare(launch), scratch, "enum { m = 0 };"]
    if product.is_shared:
        parts, size = cut(columns, SHARED_COST * rows * columns, WIDE)
        last += [
            f"enum {{ r = 0, h = {rows} }};",
            f"const int64_t s = part * {size}, w = GW_MIN({size}, {columns} - s);",
        ]
    else:
        parts, size = cut(rows, 4 * rows * columns)
        last += [
            f"enum {{ s = 0, w = {columns} }};",
            f"const int64_t r = part * {size}, h = GW_MIN({size}, {rows} - r);",
        ]
    last += follow.lines(rows, columns, ([], f"y0[i * {columns} + j] + z[i * {columns} + j]"))
    making = Phase("\n".join(first), 2 * grid.parts, work_of(launch))
    phases = (making, Phase("\n".join(last), parts, 2 * rows * columns))
    return Kernel(phases, 4 * rows * columns, ("gemm.h",))


def _batch(batch: int, together: int, pieces: int) -> str:
    """A loop over what a part takes of the batch."""
    if together == 1:
        return f"{{ const int64_t m = part / {pieces};"
    start = f"part * {together}"
    return f"for (int64_t m = {start}; m < GW_MIN({start} + {together}, {batch}); m++) {{"


def _ranges(grid: Grid) -> list[str]:
    """The first row and column of a part, and how many it has."""
    return [
        *_range("r", "h", grid.down, f"(part % {grid.parts} / {grid.across.parts})"),
        *_range("s", "w", grid.across, f"(part % {grid.across.parts})"),
    ]


def _range(start: str, count: str, cut: Cut, place: str) -> list[str]:
    if cut.parts == 1:
        return [f"enum {{ {start} = 0, {count} = {cut.length} }};"]
    first = f"const int64_t {start} = {cut.start(place)}"
    if cut.even:
        return [f"{first};", f"enum {{ {count} = {cut.most} }};"]
    return [f"{first}, {count} = GW_MIN({cut.length}, {cut.start(f'({place} + 1)')}) - {start};"]


def _offsets(product: Product) -> list[str]:
    lines = ["int64_t ma = 0, mb = 0, q = m; (void)q;"]
    for n, first, second in reversed(product.outer):
        lines.append(f"ma += q % {n} * {first}; mb += q % {n} * {second}; q /= {n};")
    return lines


def _target(product: Product) -> str:
    width = product.b.columns
    return f"y0 + m * {product.a.rows * width} + r * {width} + s"


def _by_tiles(
    product: Product,
    depth: str,
    left: str,
    right: str,
    target: str,
    call: str = "",
    end: str = ", 0, 0",
) -> str:
    """left, right: where the matrices begin, for sums of so many products. end: see `Follow`."""
    a, b = product.a, product.b
    if not call:
        call = "gw_gemm_sparse" if product.sides else "gw_gemm"
        end += f", {product.sides}" if product.sides else ""
    return (
        f"{call}(h, w, {depth}, x0 + {left} + r * {a.down}, {a.down}, {a.along}, "
        f"x1 + {right} + s * {b.along}, {b.down}, {b.along}, {target}, {b.columns}{end});"
    )


def _by_blas(product: Product) -> str:
    a, b = product.a, product.b
    told_a, told_b = a.told(), b.told()
    assert told_a is not None
    assert told_b is not None
    call = "gw_sgemm" if product.kind == "float" else "gw_dgemm"
    step_a = told_a[1] if told_a[0] == "GW_PLAIN" else 1
    step_b = 1 if told_b[0] == "GW_PLAIN" else told_b[1]
    return (
        f"{call}(GW_ROW_MAJOR, {told_a[0]}, {told_b[0]}, h, w, {a.columns}, 1, "
        f"x0 + ma + r * {step_a}, {told_a[1]}, x1 + mb + s * {step_b}, {told_b[1]}, "
        f"0, {_target(product)}, {b.columns});"
    )

"""Indexing: rows taken, rows added up by place, and their kin along one axis.

A place outside its axis makes the kernel refuse; the reference then raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from engine.backend.cpu.dense import densified
from engine.backend.cpu.functions import loose
from engine.backend.cpu.kernels import (
    C_TYPES,
    Kernel,
    Phase,
    calling,
    cut,
    declare,
    emitter,
    is_dense,
    one,
    scratch_pointer,
    strides_of,
)
from engine.backend.cpu.loops import aligned
from engine.backend.cpu.pointwise import Statements, cost
from engine.backend.cpu.shares import share
from engine.compile.plan import Launch

#: Rows are fetched so many turns before they are read; lines of a row that are asked for, at most.
AHEAD, MOST_LINES, LINE = 8, 4, 64
#: Numbers that are added up by place, and bytes of the result, that one thread has done before
#: several have begun. Rows that meet at a place are added in blocks of so many.
FEW, FEW_BYTES, BLOCK = 32_768, 1 << 20, 64
_CHECK = "if (place < 0 || place >= {0}) {{ GW_REFUSE(); return; }}"


@emitter("embedding", "take")
def take(launch: Launch) -> Kernel | None:
    x, index = launch.inputs
    if index.type.dtype.kind not in "iu":
        return None
    if index.type.ndim == 1 and is_dense(x):
        return _take(launch, *strides_of(index))
    return densified(launch, _take)


def _take(launch: Launch, step: int = 1) -> Kernel:
    """step: from one element of the index to the next."""
    shape, index = launch.inputs[0].type.shape, launch.inputs[1].type.size
    axis = launch.attrs.get("axis", 0)
    before, size, after = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
    nbytes = after * launch.inputs[0].type.dtype.itemsize
    parts, some = cut(before * index, before * index * (after + 8))
    place = f"r / {loose(index)} * {loose(size)} + place"
    body = f"memcpy(y0 + r * {after}, x0 + ({place}) * {after}, {nbytes});"
    if after == 1:
        body = f"y0[r] = x0[{place}];"
    ahead = ""
    if axis == 0 and nbytes >= LINE:
        later = (
            f"const int64_t later = (int64_t)x1[GW_MIN(r + {AHEAD}, {loose(index - 1)}) * {step}];"
        )
        ahead = f"{later}\n{_fetched(f'x0 + later * {after}', nbytes)}"
    text = f"""{share("r", before * index, some)} {{
const int64_t place = (int64_t)x1[r % {loose(index)} * {step}];
{_CHECK.format(loose(size))}
{ahead}
{body}
}}"""
    return one(f"{declare(launch)}\n{text}", parts)


def _fetched(row: str, nbytes: int) -> str:
    """The first lines of a row into the cache; the others then come by themselves."""
    count = min(MOST_LINES, -(-nbytes // LINE))
    return "\n".join(
        f"__builtin_prefetch((const char*)({row}) + {LINE * n});" for n in range(count)
    )


@emitter("add_rows")
def add_rows(launch: Launch) -> Kernel | None:
    x, index = launch.inputs
    if x.type.dtype.kind != "f" or index.type.dtype.kind not in "iu":
        return None
    if x.type.ndim == 2 and index.type.ndim == 1 and launch.attrs["axis"] == 0:
        down, along = strides_of(x)
        if along == 1 and _is_few(launch):
            kind = C_TYPES[x.type.dtype.name]
            row = Row(kind, "", f"const {kind} v = x0[n * {down} + j];", 1)
            return _added_at_once(
                launch, row, index.type.size, x.type.shape[1], launch.attrs["size"]
            )
    return densified(launch, _add_rows)


def _add_rows(launch: Launch) -> Kernel | None:
    x, index = launch.inputs[0].type, launch.inputs[1].type
    axis, size = launch.attrs["axis"], launch.attrs["size"]
    before, after = prod(x.shape[:axis]), prod(x.shape[axis + index.ndim :])
    kind = C_TYPES[x.dtype.name]
    rows = f"const {kind}* rows = x0 + r / {size} * {index.size * after};"
    row = Row(kind, "", f"const {kind} v = rows[n * {after} + j];", 1)
    return _added(launch, row, before, index.size, after, size, rows)


@emitter("fused_rows")
def fused_rows(launch: Launch) -> Kernel | None:
    """As `add_rows`, of rows whose numbers are computed on the way."""
    *sources, index = launch.inputs
    if index.type.dtype.kind not in "iu" or not is_dense(index):
        return None
    roots, kind = launch.attrs["roots"], C_TYPES[launch.attrs["kind"]]
    shape = (index.type.size, launch.outputs[0].type.shape[1])
    strides = [aligned(slot, shape) for slot in sources]
    steady = {i for i, (_, along) in enumerate(strides) if not along}
    body = Statements(roots, kind, [steady])
    if not body.complete:
        return None
    loads: list[list[str]] = [[], []]
    for i, (down, along) in enumerate(strides):
        source = C_TYPES[sources[i].type.dtype.name]
        at = f"n * {down}" if i in steady else f"n * {down} + j * {along}"
        loads[i not in steady].append(f"const {source} a{i} = x{i}[{at}];")
    once, each = ("\n".join([*load, *made]) for load, made in zip(loads, body.lines, strict=True))
    row = Row(kind, once, f"{each}\nconst {kind} v = {body.names[roots[0]]};", cost(roots) + 1)
    if _is_few(launch):
        return _added_at_once(launch, row, *shape, launch.attrs["size"])
    return _added(launch, row, 1, *shape, launch.attrs["size"])


@dataclass(frozen=True, slots=True)
class Row:
    """A row to be added: C that makes `v` of its element `j`, after `once` for the whole row.

    n: its number. work: operations of an element.
    """

    kind: str
    once: str
    each: str
    work: int

    def over(self, width: str, then: str) -> str:
        """A loop over elements; it writes to no memory that the row reads."""
        return f"{self.once}\nGW_IVDEP\nfor (int64_t k = 0; k < {width}; k++) {{\n{then}\n}}"


def _added(
    launch: Launch, row: Row, before: int, count: int, after: int, size: int, rows: str = ""
) -> Kernel | None:
    """First the order of the rows, sorted by place; then every place adds up its own."""
    if max(count, size) > 2**31 - 2:
        return None
    index = Index(len(launch.inputs) - 1, count)
    head = f"{declare(launch)}\n{sorted_lists(launch, size)}"
    parts, some = cut(before * size, before * (count * row.work + size) * after)
    add = f"""{head}
{share("r", before * size, some)} {{
const int64_t place = r % {size}, from = starts[place], to = starts[place + 1];
{rows}
{_sum_of_rows(row, after)}
}}"""
    sort = f"{head}\n{index.counted(size)}\n{index.ordered(size)}"
    return calling(Kernel((Phase(sort), Phase(add, parts)), sorted_bytes(size, count)))


def _is_few(launch: Launch) -> bool:
    """Whether one thread is done soonest."""
    out = launch.outputs[0].type
    return launch.inputs[-1].type.size * out.shape[1] <= FEW and out.nbytes <= FEW_BYTES


def _added_at_once(launch: Launch, row: Row, count: int, after: int, size: int) -> Kernel:
    """The rows in their order, each at its place; where too many meet, every place on its own."""
    nbytes = launch.outputs[0].type.nbytes
    index = Index(len(launch.inputs) - 1, count, *strides_of(launch.inputs[-1]))
    body = f"""{declare(launch)}
{sorted_lists(launch, size)}
{index.counted(size)}
int32_t most = 0;
for (int64_t i = 0; i < {size}; i++) most = GW_MAX(most, starts[i + 2]);
if (most <= {BLOCK}) {{
memset(y0, 0, {nbytes});
for (int64_t n = 0; n < {count}; n++) {{
{row.kind}* y = y0 + {index.at("n")} * {after};
{row.over(str(after), f"const int64_t j = k;{chr(10)}{row.each}{chr(10)}y[k] += v;")}
}}
return;
}}
{index.ordered(size)}
for (int64_t r = 0; r < {size}; r++) {{
const int64_t from = starts[r], to = starts[r + 1];
{_sum_of_rows(row, after)}
}}"""
    return calling(one(body, scratch=sorted_bytes(size, count)))


def sorted_bytes(size: int, count: int) -> int:
    return 4 * (size + 2 + count)


def sorted_lists(launch: Launch, size: int) -> str:
    """`order`: places of an index, sorted and in order; `starts`: where those of a row begin."""
    return (
        f"int32_t* starts = (void*){scratch_pointer(launch)};\n"
        f"int32_t* order = starts + {size + 2};"
    )


@dataclass(frozen=True, slots=True)
class Index:
    """Places of `count` rows: the input of that number, elements `step` apart."""

    number: int
    count: int
    step: int = 1

    def at(self, row: str) -> str:
        return f"(int64_t)x{self.number}[{row} * {self.step}]"

    def counted(self, size: int) -> str:
        """How many rows there are for place i, in starts[i + 2]."""
        return f"""memset(starts, 0, {4 * (size + 2)});
for (int64_t i = 0; i < {self.count}; i++) {{
const int64_t place = {self.at("i")};
{_CHECK.format(size)}
starts[place + 2]++;
}}"""

    def ordered(self, size: int) -> str:
        """Both lists, of what was counted."""
        return f"""for (int64_t i = 0; i < {size}; i++) starts[i + 2] += starts[i + 1];
for (int64_t i = 0; i < {self.count}; i++) order[starts[{self.at("i")} + 1]++] = (int32_t)i;"""


def _sum_of_rows(row: Row, after: int) -> str:
    """y0[r] = the sum of the rows order[from..to], of `after` columns.

    Most rows of a large table meet nothing or one row. Rows are added in blocks, and blocks in
    double: the error does not grow with their number.
    """
    c, number = row.kind, "const int64_t n = order[i];"
    width = min(after, 512)
    element = f"const int64_t j = k;\n{row.each}"
    if after < 4:
        return f"""double total[{after}] = {{0}};
for (int64_t i = from; i < to; i++) {{
{number}
{row.over(str(after), f"{element}{chr(10)}total[k] += v;")}
}}
for (int64_t k = 0; k < {after}; k++) y0[r * {after} + k] = ({c})total[k];"""
    return f"""{c}* y = y0 + r * {after};
if (from == to) {{ memset(y, 0, {after} * sizeof *y); continue; }}
if (to - from <= {BLOCK}) {{
int64_t i = from;
{{
{number}
{row.over(str(after), f"{element}{chr(10)}y[k] = v;")}
}}
for (i++; i < to; i++) {{
{number}
{row.over(str(after), f"{element}{chr(10)}y[k] += v;")}
}}
continue;
}}
for (int64_t column = 0; column < {after}; column += {width}) {{
const int64_t wide = GW_MIN({width}, {after} - column);
double total[{width}] = {{0}};
{c} block[{width}];
for (int64_t i = from; i < to;) {{
for (int64_t k = 0; k < wide; k++) block[k] = 0;
for (int64_t end = GW_MIN(to, i + {BLOCK}); i < end; i++) {{
{number}
{row.over("wide", f"const int64_t j = column + k;{chr(10)}{row.each}{chr(10)}block[k] += v;")}
}}
for (int64_t k = 0; k < wide; k++) total[k] += block[k];
}}
for (int64_t k = 0; k < wide; k++) y[column + k] = ({c})total[k];
}}"""


def _along(launch: Launch, shape: tuple[int, ...], place: int, body: str) -> str:
    """Loops over an index; `i`: its element, `at`: the element of `shape` it names."""
    index, axis = launch.inputs[place].type.shape, launch.attrs["axis"]
    loops = "\n".join(f"for (int64_t i{a} = 0; i{a} < {n}; i{a}++)" for a, n in enumerate(index))
    terms = [
        f"{'place' if a == axis else f'i{a}'} * {prod(shape[a + 1 :])}" for a in range(len(shape))
    ]
    flat = [f"i{a} * {prod(index[a + 1 :])}" for a in range(len(index))]
    return f"""{loops} {{
const int64_t i = {" + ".join(flat) or "0"};
const int64_t place = (int64_t)x{place}[i];
{_CHECK.format(shape[axis])}
const int64_t at = {" + ".join(terms)};
{body}
}}"""


@emitter("gather")
def gather(launch: Launch) -> Kernel | None:
    if launch.inputs[1].type.dtype.kind not in "iu":
        return None
    shape = launch.inputs[0].type.shape
    text = _along(launch, shape, 1, "y0[i] = x0[at];")
    return densified(launch, lambda dense: one(f"{declare(dense)}\n{text}"))


@emitter("add_along")
def add_along(launch: Launch) -> Kernel | None:
    out = launch.outputs[0].type
    if out.dtype.kind != "f" or launch.inputs[1].type.dtype.kind not in "iu":
        return None
    text = _along(launch, out.shape, 1, "y0[at] += x0[i];")
    clear = f"memset(y0, 0, {out.nbytes});"
    return densified(launch, lambda dense: one(f"{declare(dense)}\n{clear}\n{text}"))


@emitter("scatter")
def scatter(launch: Launch) -> Kernel | None:
    out = launch.outputs[0].type
    if launch.inputs[1].type.dtype.kind not in "iu":
        return None
    text = _along(launch, out.shape, 1, "y0[at] = x2[i];")
    first = f"memcpy(y0, x0, {out.nbytes});"
    return densified(launch, lambda dense: one(f"{declare(dense)}\n{first}\n{text}"))


@emitter("one_hot")
def one_hot(launch: Launch) -> Kernel | None:
    out, index = launch.outputs[0].type, launch.inputs[0].type
    classes = launch.attrs["classes"]
    parts, size = cut(index.size, out.size)
    text = f"""{share("r", index.size, size)}
for (int64_t j = 0; j < {classes}; j++) y0[r * {classes} + j] = (int64_t)x0[r] == j;"""
    return densified(launch, lambda dense: one(f"{declare(dense)}\n{text}", parts))


@emitter("bag_of")
def bag_of(launch: Launch) -> Kernel | None:
    bags, size = launch.inputs[0].type.size, launch.attrs["size"]
    text = f"""if (x0[0] != 0) {{ GW_REFUSE(); return; }}
for (int64_t i = 0; i < {bags}; i++) {{
const int64_t from = (int64_t)x0[i], to = i + 1 < {bags} ? (int64_t)x0[i + 1] : {size};
if (from > to || to > {size}) {{ GW_REFUSE(); return; }}
for (int64_t j = from; j < to; j++) y0[j] = i;
}}"""
    return densified(launch, lambda dense: one(f"{declare(dense)}\n{text}"))

"""Indexing: rows taken, rows added up by place, and their kin along one axis.

A place outside its axis makes the kernel refuse; the reference then raises.
"""

from __future__ import annotations

from math import prod

from engine.backend.cpu.dense import densified
from engine.backend.cpu.functions import loose
from engine.backend.cpu.kernels import (
    Kernel,
    Phase,
    c_type,
    calling,
    cut,
    declare,
    emitter,
    one,
    scratch_pointer,
)
from engine.backend.cpu.shares import share
from engine.compile.plan import Launch

_CHECK = "if (place < 0 || place >= {0}) {{ GW_REFUSE(); return; }}"


@emitter("embedding", "take")
def take(launch: Launch) -> Kernel | None:
    if launch.inputs[1].type.dtype.kind not in "iu":
        return None
    return densified(launch, _take)


def _take(launch: Launch) -> Kernel:
    shape, index = launch.inputs[0].type.shape, launch.inputs[1].type.size
    axis = launch.attrs.get("axis", 0)
    before, size, after = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
    nbytes = after * launch.inputs[0].type.dtype.itemsize
    parts, some = cut(before * index, before * index * (after + 8))
    place = f"r / {loose(index)} * {loose(size)} + place"
    body = f"memcpy(y0 + r * {after}, x0 + ({place}) * {after}, {nbytes});"
    if after == 1:
        body = f"y0[r] = x0[{place}];"
    text = f"""{share("r", before * index, some)} {{
const int64_t place = (int64_t)x1[r % {loose(index)}];
{_CHECK.format(loose(size))}
{body}
}}"""
    return one(f"{declare(launch)}\n{text}", parts)


@emitter("add_rows")
def add_rows(launch: Launch) -> Kernel | None:
    x = launch.inputs[0].type
    if x.dtype.kind != "f" or launch.inputs[1].type.dtype.kind not in "iu":
        return None
    return densified(launch, _add_rows)


def _add_rows(launch: Launch) -> Kernel | None:
    """First the order of the rows, sorted by place; then every place adds up its own."""
    x, index = launch.inputs[0].type, launch.inputs[1].type
    axis, size = launch.attrs["axis"], launch.attrs["size"]
    before, count, after = prod(x.shape[:axis]), index.size, prod(x.shape[axis + index.ndim :])
    if max(count, size) > 2**31 - 2:
        return None
    head = f"{declare(launch)}\n{sorted_lists(launch, size)}"
    parts, some = cut(before * size, before * (count + size) * after)
    add = f"""{head}
{share("r", before * size, some)} {{
const int64_t place = r % {size}, from = starts[place], to = starts[place + 1];
const {c_type(x.dtype)}* rows = x0 + r / {size} * {count * after};
{_sum_of_rows(c_type(x.dtype), after)}
}}"""
    sort = f"{head}\n{sort_places(size, count, 1)}"
    return calling(Kernel((Phase(sort), Phase(add, parts)), sorted_bytes(size, count)))


def sorted_bytes(size: int, count: int) -> int:
    return 4 * (size + 2 + count)


def sorted_lists(launch: Launch, size: int) -> str:
    """`order`: places of an index, sorted and in order; `starts`: where those of a row begin."""
    return (
        f"int32_t* starts = (void*){scratch_pointer(launch)};\n"
        f"int32_t* order = starts + {size + 2};"
    )


def sort_places(size: int, count: int, place: int) -> str:
    """Lines that fill both lists from input `place`, counting first."""
    return f"""memset(starts, 0, {4 * (size + 2)});
for (int64_t i = 0; i < {count}; i++) {{
const int64_t place = (int64_t)x{place}[i];
{_CHECK.format(size)}
starts[place + 2]++;
}}
for (int64_t i = 0; i < {size}; i++) starts[i + 2] += starts[i + 1];
for (int64_t i = 0; i < {count}; i++) order[starts[(int64_t)x{place}[i] + 1]++] = (int32_t)i;"""


def _sum_of_rows(c: str | None, after: int) -> str:
    """y0[r] = the sum of rows[order[from..to]], of `after` columns.

    Most rows of a large table meet nothing or one row. Rows are added in blocks, and blocks in
    double: the error does not grow with their number.
    """
    width = min(after, 512)
    if after < 4:
        return f"""for (int64_t j = 0; j < {after}; j++) {{
double total = 0;
for (int64_t i = from; i < to; i++) total += rows[(int64_t)order[i] * {after} + j];
y0[r * {after} + j] = ({c})total;
}}"""
    return f"""{c}* y = y0 + r * {after};
if (from == to) {{ memset(y, 0, {after} * sizeof *y); continue; }}
if (to - from <= 64) {{
memcpy(y, rows + (int64_t)order[from] * {after}, {after} * sizeof *y);
for (int64_t i = from + 1; i < to; i++) {{
const {c}* row = rows + (int64_t)order[i] * {after};
GW_IVDEP
for (int64_t j = 0; j < {after}; j++) y[j] += row[j];
}}
continue;
}}
for (int64_t column = 0; column < {after}; column += {width}) {{
const int64_t wide = GW_MIN({width}, {after} - column);
double total[{width}] = {{0}};
{c} block[{width}];
for (int64_t i = from; i < to;) {{
for (int64_t j = 0; j < wide; j++) block[j] = 0;
for (int64_t end = GW_MIN(to, i + 64); i < end; i++) {{
const {c}* row = rows + (int64_t)order[i] * {after} + column;
for (int64_t j = 0; j < wide; j++) block[j] += row[j];
}}
for (int64_t j = 0; j < wide; j++) total[j] += block[j];
}}
for (int64_t j = 0; j < wide; j++) y[column + j] = ({c})total[j];
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

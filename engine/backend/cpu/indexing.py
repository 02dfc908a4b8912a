"""Indexing: rows taken, rows added up by place, and their kin along one axis.

A place outside its axis makes the kernel refuse; the reference then raises.
"""

from __future__ import annotations

from math import prod

from engine.backend.cpu.dense import densified
from engine.backend.cpu.kernels import (
    Kernel,
    Phase,
    c_type,
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
    body = f"memcpy(y0 + r * {after}, x0 + (r / {index} * {size} + place) * {after}, {nbytes});"
    if after == 1:
        body = f"y0[r] = x0[r / {index} * {size} + place];"
    text = f"""{share("r", before * index, some)} {{
const int64_t place = (int64_t)x1[r % {index}];
{_CHECK.format(size)}
{body}
}}"""
    return one(f"{declare(launch)}\n{text}", parts)


@emitter("add_rows")
def add_rows(launch: Launch) -> Kernel | None:
    x = launch.inputs[0].type
    if x.dtype.kind != "f" or launch.inputs[1].type.dtype.kind not in "iu":
        return None
    return densified(launch, _add_rows)


def _add_rows(launch: Launch) -> Kernel:
    """First the order of the rows, sorted by place; then every place adds up its own.

    Rows are added in blocks, and blocks in double: the error does not grow with their number.
    """
    x, index = launch.inputs[0].type, launch.inputs[1].type
    axis, size = launch.attrs["axis"], launch.attrs["size"]
    before, count, after = prod(x.shape[:axis]), index.size, prod(x.shape[axis + index.ndim :])
    c, head = c_type(x.dtype), declare(launch)
    lists = f"""int64_t* starts = (void*){scratch_pointer(launch)};
int64_t *next = starts + {size + 1}, *order = next + {size + 1};"""
    sort = f"""{head}
{lists}
memset(starts, 0, {8 * (size + 1)});
for (int64_t i = 0; i < {count}; i++) {{
const int64_t place = (int64_t)x1[i];
{_CHECK.format(size)}
starts[place + 1]++;
}}
for (int64_t i = 0; i < {size}; i++) starts[i + 1] += starts[i];
memcpy(next, starts, {8 * (size + 1)});
for (int64_t i = 0; i < {count}; i++) order[next[(int64_t)x1[i]]++] = i;"""
    parts, some = cut(before * size, before * (count + size) * after)
    width = min(after, 512)
    add = f"""{head}
{lists}
(void)next;
{share("r", before * size, some)} {{
const int64_t place = r % {size}, from = starts[place], to = starts[place + 1];
const {c}* rows = x0 + r / {size} * {count * after};
for (int64_t column = 0; column < {after}; column += {width}) {{
const int64_t wide = GW_MIN({width}, {after} - column);
double total[{width}] = {{0}};
{c} block[{width}];
for (int64_t i = from; i < to;) {{
for (int64_t j = 0; j < wide; j++) block[j] = 0;
for (int64_t end = GW_MIN(to, i + 64); i < end; i++) {{
const {c}* row = rows + order[i] * {after} + column;
for (int64_t j = 0; j < wide; j++) block[j] += row[j];
}}
for (int64_t j = 0; j < wide; j++) total[j] += block[j];
}}
for (int64_t j = 0; j < wide; j++) y0[r * {after} + column + j] = ({c})total[j];
}}
}}"""
    return Kernel((Phase(sort), Phase(add, parts)), 8 * (2 * size + 2 + count))


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

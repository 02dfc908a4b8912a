"""Attention in tiles (`runtime/attention.h`): the whole matrix of scores is never there.

Parts are heads, or blocks of rows of them where there are few heads; the gradient takes all heads
of queries that share keys together. Each is one thread's, so sums have one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from engine.backend.cpu.dense import densified
from engine.backend.cpu.kernels import Kernel, cut, declare, emitter, literal, one, strides_of
from engine.backend.cpu.loops import aligned
from engine.backend.cpu.shares import share
from engine.compile.plan import Launch, Slot

ROWS, KEYS, WIDE = 6, 144, 16  # as in attention.h and vectors.h
BLOCK, WHOLE = 48, 72  # rows worked on at a time; so many or fewer at once
FEW = 8  # heads below which rows are cut, too
MOST_WORDS = 2**34  # of one draw
HEADERS = ("attention.h",)


@dataclass(frozen=True, slots=True)
class View:
    """One of q, k, v, or of what is made like them: where it begins in which tensor, its strides.

    batch: of the leading axes. row, head: from one position, one head to the next. In elements.
    """

    name: str
    start: int
    batch: tuple[int, ...]
    row: int
    head: int
    heads: int
    rows: int
    length: int

    @classmethod
    def of(cls, name: str, slot: Slot, first: int = 0, heads: int | None = None) -> View:
        """[..., positions, heads, length], or some of its heads from `first` on."""
        strides, shape = strides_of(slot), slot.type.shape
        row, head = strides[-3:-1]
        many = shape[-2] - first if heads is None else heads
        return cls(
            name, first * head, strides[:-3], row, head, many, shape[-3], shape[-1]
        )  # fmt: skip

    def at(self, head: str) -> str:
        """Its address for leading axes i0, i1, … and a head."""
        terms = [f"i{axis} * {s}" for axis, s in enumerate(self.batch) if s]
        return " + ".join([self.name, str(self.start), *terms, f"{head} * {self.head}"])


def packed(name: str, slot: Slot, launch: Launch) -> tuple[View, View, View]:
    """q, k and v within one tensor."""
    heads, keys = launch.attrs["heads"], launch.attrs["kv_heads"]
    cuts = ((0, heads), (heads, keys), (heads + keys, keys))
    q, k, v = (View.of(name, slot, first, many) for first, many in cuts)
    return q, k, v


@dataclass(frozen=True, slots=True)
class Attention:
    """What both directions share: the views, the leading axes, the mask and dropout."""

    launch: Launch
    q: View
    k: View
    v: View
    y: View
    extras: int  # the place of the first input behind tensors: mask, seed, step

    @property
    def batch(self) -> tuple[int, ...]:
        return self.launch.outputs[0].type.shape[:-3]

    @property
    def images(self) -> int:
        return prod(self.batch)

    @property
    def block(self) -> int:
        return _padded(self.q.rows, ROWS) if self.q.rows <= WHOLE else BLOCK

    @property
    def deep(self) -> int:
        return _padded(self.q.length, WIDE)

    @property
    def broad(self) -> int:
        return _padded(self.v.length, WIDE)

    @property
    def has_words(self) -> bool:
        """Whether one draw is enough for dropout."""
        return not self.launch.attrs["p"] or prod(self._scores()) <= MOST_WORDS

    def sizes(self, **rows: int) -> str:
        """The constant that the runtime is told everything by."""
        attrs = self.launch.attrs
        mask = self._mask()
        told = {
            "rows": self.q.rows, "keys": self.k.rows, "depth": self.q.length,
            "wide": self.v.length, "deep": self.deep, "broad": self.broad, "block": self.block,
            "q_row": self.q.row, "k_row": self.k.row, "v_row": self.v.row, "y_row": self.y.row,
            "causal": int(attrs["causal"]), "scale": literal(attrs["scale"], "float"),
            "draw": f"{attrs['draw']}u", **rows,
        }  # fmt: skip
        if mask is not None:
            strides = aligned(mask, self._scores())
            floats = mask.type.dtype.name != "bool"
            told |= {"masked": 1 + floats, "m_row": strides[-2], "m_key": strides[-1]}
        if attrs["p"]:
            least = min(int(attrs["p"] * 2.0**32), 2**32 - 1)
            told |= {"least": f"{least}u", "kept": literal(1 / (1 - attrs["p"]), "float")}
        fields = ", ".join(f".{name} = {value}" for name, value in told.items())
        return f"static const GwAttention t = {{{fields}}};"

    def place(self, image: str) -> str:
        """The leading axes of an image."""
        lines = [f"int64_t left = {image}; (void)left;"]
        for axis, n in reversed(list(enumerate(self.batch))):
            lines.append(f"const int64_t i{axis} = left % {n}; left /= {n}; (void)i{axis};")
        return "\n".join(lines)

    def head(self, image: str, head: str) -> str:
        """What one head is told: its mask, and where its scores stand among all."""
        mask, seed, step = "0", "0", "0"
        if self._mask() is not None:
            mask = f"x{self.extras} + {self._mask_place(head)}"
        if self.launch.attrs["p"]:
            at = len(self.launch.inputs)
            seed, step = f"x{at - 2}[0]", f"x{at - 1}[0]"
        scores = self.q.rows * self.k.rows
        first = f"(uint64_t)({image} * {self.q.heads} + {head}) * {scores}u"
        return f"const GwHead head = {{{mask}, {seed}, {step}, {first}}};"

    def _mask(self) -> Slot | None:
        return self.launch.inputs[self.extras] if self.launch.attrs["masked"] else None

    def _scores(self) -> tuple[int, ...]:
        return (*self.batch, self.q.heads, self.q.rows, self.k.rows)

    def _mask_place(self, head: str) -> str:
        mask = self._mask()
        assert mask is not None
        *batch, own, _, _ = aligned(mask, self._scores())
        terms = [f"i{axis} * {s}" for axis, s in enumerate(batch) if s]
        return " + ".join([*terms, f"{head} * {own}"])


def _padded(n: int, step: int) -> int:
    return -(-n // step) * step


def _covered(launch: Launch, tensors: int) -> bool:
    given = (*launch.inputs[:tensors], *launch.outputs)
    return all(slot.type.dtype.name == "float32" for slot in given)


def _streaming(slots: Sequence[Slot]) -> bool:
    """Whether the features of every position lie side by side."""
    return all(strides_of(slot)[-1] == 1 or slot.type.shape[-1] == 1 for slot in slots)


@emitter("attention", "self_attention")
def attention(launch: Launch) -> Kernel | None:
    own = launch.name == "self_attention"
    tensors = 1 if own else 3
    if not _covered(launch, tensors):
        return None
    if _streaming(launch.inputs[:tensors]):
        return _attention(launch)
    return densified(launch, _attention)


def _attention(launch: Launch) -> Kernel | None:
    if launch.name == "self_attention":
        views, extras = packed("x0", launch.inputs[0], launch), 1
    else:
        q, k, v = (View.of(f"x{i}", launch.inputs[i]) for i in range(3))
        views, extras = (q, k, v), 3
    made = Attention(launch, *views, View.of("y0", launch.outputs[0]), extras)
    if not made.has_words:
        return None
    heads, rows = made.q.heads, made.q.rows
    chunks = 1 if made.images * heads >= FEW else -(-rows // made.block)
    chunk = _padded(-(-rows // chunks), made.block)
    units = made.images * heads * chunks
    parts, size = cut(units, launch.flops)
    group = heads // made.k.heads
    keys = _padded(made.k.rows, WIDE)
    work = made.block * (made.deep + made.broad + KEYS) + keys * (made.deep + made.broad)
    text = f"""{declare(launch)}
{made.sizes()}
float* work = gw_workspace({4 * work});
if (!work) {{ GW_REFUSE(); return; }}
{share("u", units, size)} {{
const int64_t image = u / {heads * chunks}, h = u / {chunks} % {heads}, i = u % {chunks} * {chunk};
{made.place("image")}
{made.head("image", "h")}
gw_attend(&t, &head, {made.q.at("h")}, {made.k.at(f"h / {group}")}, {made.v.at(f"h / {group}")},
          {made.y.at("h")}, y1 + u / {chunks} * {rows}, i, GW_MIN(i + {chunk}, {rows}), work);
}}"""
    return one(text, parts, headers=HEADERS)


@emitter("attention_grad", "self_attention_grad")
def attention_grad(launch: Launch) -> Kernel | None:
    tensors = 4 if launch.name == "self_attention_grad" else 6
    if not _covered(launch, tensors):
        return None
    if _streaming(launch.inputs[: tensors - 1]):
        return _attention_grad(launch)
    return densified(launch, _attention_grad)


def _attention_grad(launch: Launch) -> Kernel | None:
    if launch.name == "self_attention_grad":
        views, found = (
            packed("x1", launch.inputs[1], launch),
            packed("y0", launch.outputs[0], launch),
        )
        extras = 4
    else:
        q, k, v = (View.of(f"x{i + 1}", launch.inputs[i + 1]) for i in range(3))
        into_q, into_k, into_v = (View.of(f"y{i}", launch.outputs[i]) for i in range(3))
        views, found, extras = (q, k, v), (into_q, into_k, into_v), 6
    flow = View.of("x0", launch.inputs[0])
    made = Attention(launch, *views, View.of(f"x{extras - 2}", launch.inputs[extras - 2]), extras)
    if not made.has_words:
        return None
    group = made.q.heads // made.k.heads
    units = made.images * made.k.heads
    parts, size = cut(units, launch.flops)
    named = dict(zip(("dq_row", "dk_row", "dv_row"), (view.row for view in found), strict=True))
    text = f"""{declare(launch)}
{made.sizes(g_row=flow.row, **named)}
GwBackward w;
float* work = gw_workspace(4 * (size_t)gw_attention_split(&t, 0, &w));
if (!work) {{ GW_REFUSE(); return; }}
gw_attention_split(&t, work, &w);
{share("u", units, size)} {{
const int64_t image = u / {made.k.heads}, own = u % {made.k.heads};
{made.place("image")}
gw_back_keys(&t, {made.k.at("own")}, {made.v.at("own")}, &w);
for (int64_t h = own * {group}; h < own * {group} + {group}; h++) {{
{made.head("image", "h")}
gw_back_head(&t, &head, {made.q.at("h")}, {flow.at("h")}, {made.y.at("h")},
             x{extras - 1} + (image * {made.q.heads} + h) * {made.q.rows}, {found[0].at("h")}, &w);
}}
gw_back_done(&t, {found[1].at("own")}, {found[2].at("own")}, &w);
}}"""
    return one(text, parts, headers=HEADERS)

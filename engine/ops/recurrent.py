"""Recurrent layers over a whole sequence, kept whole: plain (Elman), GRU and LSTM.

Forward gives (y, last states, and what the gradient needs); `<name>_grad` gives the flow into the
gates of every step, its total and the flow into the first states. The gradients of weights are then
single products over all steps.
"""

from __future__ import annotations

from typing import Any

from engine import dtypes
from engine.backend.recurrent import GRU, LSTM, Calculus, Cell, Plain, backward, forward, of_arrays
from engine.dispatch import apply, single
from engine.errors import DtypeError, EngineError, ShapeError
from engine.ir.graph import TensorType
from engine.ops.activations import sigmoid
from engine.ops.composite import differentiated
from engine.ops.creation import zeros
from engine.ops.elementwise import where
from engine.ops.movement import cat, reshape, stack, transpose
from engine.ops.registry import outputs_of, register
from engine.tape import Context
from engine.tensor import Tensor

_TENSORS = Calculus(
    lambda x: single("tanh", x),
    sigmoid,
    where,
    cat,
    stack,
    lambda x: transpose(x, 0, 1),
    lambda x: single("sum", x, axes=(0, 1), keepdims=False),
)
_WEIGHTS = ("w_ih", "w_hh", "b_ih", "b_hh")


class _Family:
    """One kind of recurrence, and the two operations that come of it."""

    def __init__(self, name: str, cell: Cell) -> None:
        self.name, self.cell, self.states = name, cell, cell.states
        first = ("h0", "c0")[: self.states]
        looked = {"gru": ("before",), "lstm": ("c0", "cells")}.get(name, ())
        flows = ("g_y", "g_h", "g_c")[: 1 + self.states]
        self.lengths = 1 + self.states + 4
        self.grad_lengths = len(flows) + 2 + len(looked)
        register(
            name, self.infer, self.ref, self.vjp, self.flops,
            inputs=("x", *first, *_WEIGHTS, "lengths"),
            promotes=True, into=True, held=(self.lengths,),
        )  # fmt: skip
        register(
            f"{name}_grad", self.grad_infer, self.grad_ref, self.grad_vjp, self.grad_flops,
            inputs=(*flows, "w_hh", "kept", *looked, "lengths"),
            promotes=True, into=True, held=(self.grad_lengths,), overwrites=True,
        )  # fmt: skip

    # Forwards

    def infer(self, *types: TensorType, reverse: bool) -> tuple[TensorType, ...]:
        _check(self.name, self.cell, types, self.lengths)
        x, h0 = types[:2]
        batch, steps, hidden = *x.shape[:2], h0.shape[1]
        line = TensorType((batch, steps, hidden), x.dtype)
        kept = TensorType((batch, steps, self.cell.kept * hidden), x.dtype)
        return (line, *[h0] * self.states, line, kept, *[line] * (self.states - 1))

    def ref(self, *arrays: Any, reverse: bool, out: Any = None) -> tuple[Any, ...]:
        return _placed(self.run(of_arrays(arrays[0]), *arrays, reverse=reverse), out)

    def run(self, k: Calculus, *inputs: Any, reverse: bool) -> tuple[Any, ...]:
        states, weights = inputs[1 : 1 + self.states], inputs[1 + self.states : self.lengths]
        lengths = inputs[self.lengths] if len(inputs) > self.lengths else None
        return forward(self.cell, k, inputs[0], states, weights, lengths, reverse)

    def flops(self, x: TensorType, h0: TensorType, *_: TensorType, reverse: bool) -> int:
        rows, hidden = x.shape[0] * x.shape[1], h0.shape[1]
        products = 2 * self.cell.blocks * hidden * (x.shape[2] + hidden)
        return rows * (products + 20 * self.cell.kept * hidden)

    def vjp(self, ctx: Context, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if any(ctx.live[1 + self.states :]):
            plain = self._in_tensors
            return differentiated(plain, ctx, gradients)
        rest = ctx.inputs[self.lengths :]
        before, kept, *cells = ctx.ys[1 + self.states :]
        looked = {"gru": [before], "lstm": [ctx.inputs[2], *cells]}.get(self.name, [])
        flows, w_hh = gradients[: 1 + self.states], ctx.inputs[2 + self.states]
        found = apply(f"{self.name}_grad", *flows, w_hh, kept, *looked, *rest, **ctx.attrs)
        flow, total, *states = outputs_of(found)
        return (
            *self._through_weights(ctx, flow, total, before, states),
            *[None] * len(rest),
        )

    def _in_tensors(self, *inputs: Tensor, reverse: bool) -> tuple[Tensor, ...]:
        return self.run(_TENSORS, *inputs, reverse=reverse)

    def _through_weights(
        self, ctx: Context, flow: Tensor, total: Tensor, before: Tensor, states: list[Tensor]
    ) -> list[Tensor | None]:
        """Gradients of x, the first states, the weights and the biases."""
        x, w_ih = ctx.x, ctx.w_ih
        rows, width = x.shape[0] * x.shape[1], w_ih.shape[0]
        flow = reshape(flow, (rows, flow.shape[2]))
        inner = flow[:, :width]
        parts = _seen_parts(self.cell, flow)
        x_rows, h_rows = reshape(x, (rows, x.shape[2])), reshape(before, (rows, before.shape[2]))
        d_x = reshape(inner @ w_ih, x.shape) if ctx.needs[0] else None
        d_w_ih = transpose(inner, 0, 1) @ x_rows
        d_w_hh = _joined([transpose(part, 0, 1) @ h_rows for part in parts])
        hidden = before.shape[2]
        d_b_hh = (
            total if width == flow.shape[1] else cat([total[: 2 * hidden], total[3 * hidden :]])
        )
        return [d_x, *states, d_w_ih, d_w_hh, total[:width], d_b_hh]

    # Backwards

    def grad_infer(self, *types: TensorType, reverse: bool) -> tuple[TensorType, ...]:
        kept = types[2 + self.states]
        return kept, TensorType(kept.shape[2:], kept.dtype), *[types[1]] * self.states

    def grad_ref(self, *arrays: Any, reverse: bool, out: Any = None) -> tuple[Any, ...]:
        return _placed(self.grad_run(of_arrays(arrays[0]), *arrays, reverse=reverse), out)

    def grad_run(self, k: Calculus, *inputs: Any, reverse: bool) -> tuple[Any, ...]:
        count = 1 + self.states
        saved = inputs[count + 1 : self.grad_lengths]
        lengths = inputs[self.grad_lengths] if len(inputs) > self.grad_lengths else None
        return backward(self.cell, k, inputs[:count], inputs[count], saved, lengths, reverse)

    def grad_vjp(self, ctx: Context, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        def plain(*inputs: Tensor, reverse: bool) -> tuple[Tensor, ...]:
            return self.grad_run(_TENSORS, *inputs, reverse=reverse)

        return differentiated(plain, ctx, gradients)

    def grad_flops(self, g_y: TensorType, *types: TensorType, reverse: bool) -> int:
        rows, hidden = g_y.shape[0] * g_y.shape[1], g_y.shape[2]
        return rows * hidden * (2 * self.cell.blocks * hidden + 20 * self.cell.kept)


def _seen_parts(cell: Cell, flow: Tensor) -> list[Tensor]:
    """The columns of the flow that h met with the weights, in blocks that lie side by side."""
    if cell.kept == cell.blocks:
        return [flow]
    width = flow.shape[1] // cell.kept
    return [flow[:, : 2 * width], flow[:, 3 * width :]]


def _joined(parts: list[Tensor], axis: int = 0) -> Tensor:
    return parts[0] if len(parts) == 1 else cat(parts, axis)


def _placed(results: tuple[Any, ...], out: Any) -> tuple[Any, ...]:
    if out is None:
        return results
    for array, result in zip(out, results, strict=True):
        array[...] = result
    return tuple(out)


def _check(name: str, cell: Cell, types: tuple[TensorType, ...], place: int) -> None:
    """Refuse inputs that do not fit each other, and say which and why."""
    x, h0 = types[:2]
    if not dtypes.is_float(x.dtype):
        raise DtypeError(f"{name}: the sequence {x} holds no floats")
    if x.ndim != 3 or x.shape[1] == 0:
        raise ShapeError(f"{name}: {x} must be [batch, steps, features] with at least one step")
    if h0.ndim != 2:
        raise ShapeError(f"{name}: h0 {h0} must be [batch, hidden]")
    hidden = h0.shape[1]
    wide = cell.blocks * hidden
    wanted: list[tuple[int, ...]] = [(x.shape[0], hidden)] * cell.states
    wanted += [(wide, x.shape[2]), (wide, hidden), (wide,), (wide,)]
    roles = (*("h0", "c0")[: cell.states], *_WEIGHTS)
    for role, given, shape in zip(roles, types[1:place], wanted, strict=True):
        if given.shape != shape:
            raise ShapeError(f"{name}: {role} {given} must have the shape {list(shape)}")
    if len(types) > place:
        _check_lengths(name, types[place], x.shape[0])


def _check_lengths(name: str, lengths: TensorType, batch: int) -> None:
    if lengths.dtype.kind not in "iu":
        raise DtypeError(f"{name}: the lengths {lengths} must be integers")
    if lengths.shape != (batch,):
        raise ShapeError(f"{name}: the lengths {lengths} must have the shape {[batch]}")


_FAMILIES = {
    name: _Family(name, cell)
    for name, cell in (
        ("rnn_tanh", Plain("tanh")),
        ("rnn_relu", Plain("relu")),
        ("gru", GRU()),
        ("lstm", LSTM()),
    )
}


def recurrent(
    kind: str,
    x: Tensor,
    states: tuple[Tensor, ...] | None,
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    *,
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A recurrence over x [batch, steps, features] -> (y [batch, steps, hidden], last states).

    kind: "rnn_tanh", "rnn_relu", "gru" or "lstm". states: h, or (h, c), each [batch, hidden]; zeros
    where left out. weights: (w_ih [gates * hidden, features], w_hh [gates * hidden, hidden], b_ih,
    b_hh [gates * hidden] or None), gates in PyTorch's order. lengths [batch]: steps from there on
    leave the states alone and give zeros. reverse: from the last step to the first.
    """
    family = _FAMILIES.get(kind)
    if family is None:
        raise EngineError(f"recurrent: {kind!r} is not known; say one of {list(_FAMILIES)}")
    w_ih, w_hh, *biases = weights
    if x.ndim != 3 or w_hh.ndim != 2:
        raise ShapeError(
            f"{kind}: x {x.type} must be [batch, steps, features], w_hh {w_hh.type} "
            "[gates * hidden, hidden]"
        )
    if states is None:
        states = (zeros(x.shape[0], w_hh.shape[1], dtype=x.dtype),) * family.states
    if len(states) != family.states:
        raise ShapeError(f"{kind}: {family.states} states were expected, got {len(states)}")
    given = [zeros(w_hh.shape[0], dtype=x.dtype) if b is None else b for b in biases]
    rest = () if lengths is None else (lengths,)
    found = apply(kind, x, *states, w_ih, w_hh, *given, *rest, reverse=reverse)
    return found[0], tuple(found[1 : 1 + family.states])


def rnn(
    x: Tensor,
    h0: Tensor | None,
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    *,
    nonlinearity: str = "tanh",
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """h' = f(W x + b + V h + c), f "tanh" or "relu": (all h, the last h). Elman 1990.

    Shapes as `recurrent`.
    """
    states = None if h0 is None else (h0,)
    kind = f"rnn_{nonlinearity}"
    y, last = recurrent(kind, x, states, weights, lengths=lengths, reverse=reverse)
    return y, last[0]


def gru(
    x: Tensor,
    h0: Tensor | None,
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    *,
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """h' = (1 - z) n + z h, z and r = sigmoid(W x + b + V h + c), n = tanh(W x + b + r (V h + c)):
    (all h, the last h). Cho et al. 2014. Shapes as `recurrent`, gates in the order r, z, n."""
    states = None if h0 is None else (h0,)
    y, last = recurrent("gru", x, states, weights, lengths=lengths, reverse=reverse)
    return y, last[0]


def lstm(
    x: Tensor,
    states: tuple[Tensor, Tensor] | None,
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    *,
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """c' = f c + i g, h' = o tanh c' with i, f, o = sigmoid(W x + b + V h + d), g = tanh of the
    same: (all h, the last (h, c)). Hochreiter and Schmidhuber 1997.

    Shapes as `recurrent`, gates in the order i, f, g, o.
    """
    y, last = recurrent("lstm", x, states, weights, lengths=lengths, reverse=reverse)
    return y, (last[0], last[1])

"""Recurrent cells over time, forwards and backwards, written once for arrays and for tensors.

A `Calculus` says how the few functions are called that arrays and tensors do not share as methods.
Rows of a sequence are [batch, features]; blocks of columns belong to the gates, in PyTorch's order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.backend.modules import array_module
from engine.backend.sums import total


@dataclass(frozen=True, slots=True)
class Calculus:
    """Functions of arrays, or of tensors."""

    tanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    where: Callable[[Any, Any, Any], Any]
    cat: Callable[[Sequence[Any], int], Any]
    stack: Callable[[Sequence[Any], int], Any]
    turned: Callable[[Any], Any]
    total: Callable[[Any], Any]  # over batch and steps


def of_arrays(array: Any) -> Calculus:
    xp = array_module(array)
    return Calculus(
        xp.tanh,
        lambda x: 1 / (1 + xp.exp(-x)),
        xp.where,
        xp.concatenate,
        xp.stack,
        lambda x: x.T,
        lambda x: total(x.reshape(-1, x.shape[-1]), (0,)),
    )


def columns(x: Any, count: int) -> list[Any]:
    """The columns in so many blocks of one width."""
    width = x.shape[-1] // count
    return [x[:, i * width : (i + 1) * width] for i in range(count)]


class Cell(ABC):
    """One step of a recurrence and its derivative.

    blocks: gates of the weights. kept: blocks of columns that a step keeps for its derivative.
    states: 1 (h), or 2 (h and c).
    """

    blocks: ClassVar[int]
    kept: ClassVar[int]
    states: ClassVar[int] = 1

    @abstractmethod
    def step(self, k: Calculus, x: Any, states: Any, weight: Any, bias: Any) -> tuple[Any, Any]:
        """x: its product with the weights. -> the next states, and what is kept."""

    @abstractmethod
    def back(self, k: Calculus, flows: Any, kept: Any, before: Any, after: Any) -> tuple[Any, Any]:
        """flows into the states after the step -> (into what is kept, into the states before it
        except through the weights). before, after: the states that the cell looks at."""

    def seen(self, k: Calculus, flow: Any) -> Any:
        """Of the flow into what is kept, that into h times the weights."""
        return flow


class Plain(Cell):
    """h' = f(x + W h + b), f = tanh or relu. Elman 1990."""

    blocks = kept = 1

    def __init__(self, nonlinearity: str) -> None:
        self.nonlinearity = nonlinearity

    def step(self, k: Calculus, x: Any, states: Any, weight: Any, bias: Any) -> tuple[Any, Any]:
        s = x + (states[0] @ weight + bias)
        h = k.tanh(s) if self.nonlinearity == "tanh" else k.where(s > 0, s, 0 * s)
        return (h,), h

    def back(self, k: Calculus, flows: Any, kept: Any, before: Any, after: Any) -> tuple[Any, Any]:
        flow = flows[0]
        if self.nonlinearity == "tanh":
            return flow * (1 - kept * kept), (0 * flow,)
        return k.where(kept > 0, flow, 0 * flow), (0 * flow,)


class GRU(Cell):
    """r, z, n and V h of the new gate are kept. Cho et al. 2014, with the reset as in cuDNN."""

    blocks = 3
    kept = 4

    def step(self, k: Calculus, x: Any, states: Any, weight: Any, bias: Any) -> tuple[Any, Any]:
        h = states[0]
        x_r, x_z, x_n = columns(x, 3)
        h_r, h_z, h_n = columns(h @ weight + bias, 3)
        r, z = k.sigmoid(x_r + h_r), k.sigmoid(x_z + h_z)
        n = k.tanh(x_n + r * h_n)
        return (n + z * (h - n),), k.cat([r, z, n, h_n], 1)

    def back(self, k: Calculus, flows: Any, kept: Any, before: Any, after: Any) -> tuple[Any, Any]:
        flow = flows[0]
        r, z, n, h_n = columns(kept, 4)
        d_n = flow * (1 - z) * (1 - n * n)
        d_z = flow * (before - n) * z * (1 - z)
        d_r = d_n * h_n * r * (1 - r)
        return k.cat([d_r, d_z, d_n, d_n * r], 1), (flow * z,)

    def seen(self, k: Calculus, flow: Any) -> Any:
        width = flow.shape[-1] // 4
        return k.cat([flow[:, : 2 * width], flow[:, 3 * width :]], 1)


class LSTM(Cell):
    """i, f, g, o are kept. Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000."""

    blocks = kept = 4
    states = 2

    def step(self, k: Calculus, x: Any, states: Any, weight: Any, bias: Any) -> tuple[Any, Any]:
        h, c = states
        i, f, g, o = columns(x + (h @ weight + bias), 4)
        i, f, g, o = k.sigmoid(i), k.sigmoid(f), k.tanh(g), k.sigmoid(o)
        c = f * c + i * g
        return (o * k.tanh(c), c), k.cat([i, f, g, o], 1)

    def back(self, k: Calculus, flows: Any, kept: Any, before: Any, after: Any) -> tuple[Any, Any]:
        flow, d_c = flows
        i, f, g, o = columns(kept, 4)
        squashed = k.tanh(after)
        d_c = d_c + flow * o * (1 - squashed * squashed)
        d_i, d_f = d_c * g * i * (1 - i), d_c * before * f * (1 - f)
        d_g, d_o = d_c * i * (1 - g * g), flow * squashed * o * (1 - o)
        return k.cat([d_i, d_f, d_g, d_o], 1), (0 * flow, d_c * f)


def _order(steps: int, reverse: bool) -> list[int]:
    return list(range(steps))[::-1] if reverse else list(range(steps))


def _active(lengths: Any, t: int) -> Any:
    """Whether step t belongs to each row [batch, 1]; None where all do."""
    return None if lengths is None else (lengths > t)[:, None]


def _chosen(k: Calculus, active: Any, fresh: Any, held: Any) -> Any:
    return fresh if active is None else k.where(active, fresh, held)


def forward(
    cell: Cell, k: Calculus, x: Any, states: Any, weights: Any, lengths: Any, reverse: bool
) -> tuple[Any, ...]:
    """(y, last states, h before each step, what is kept, and c after each step of an LSTM)."""
    batch, steps, features = x.shape
    w_ih, w_hh, b_ih, b_hh = weights
    product = x.reshape((batch * steps, features)) @ k.turned(w_ih) + b_ih
    product = product.reshape((batch, steps, product.shape[-1]))
    turned = k.turned(w_hh)
    rows: list[Any] = [None] * steps
    for t in _order(steps, reverse):
        before, active = states, _active(lengths, t)
        fresh, kept = cell.step(k, product[:, t], states, turned, b_hh)
        states = tuple(_chosen(k, active, new, old) for new, old in zip(fresh, before, strict=True))
        y = _chosen(k, active, fresh[0], 0 * before[0])
        rows[t] = (y, before[0], _chosen(k, active, kept, 0 * kept), *states[1:])
    y, *saved = [k.stack(list(made), 1) for made in zip(*rows, strict=True)]
    return (y, *states, *saved)


def backward(
    cell: Cell, k: Calculus, flows: Any, w_hh: Any, saved: Any, lengths: Any, reverse: bool
) -> tuple[Any, ...]:
    """(flow into what is kept [batch, steps, kept * hidden], its total over batch and steps, flows
    into the first states).

    flows: into y, then into the last states. saved: what is kept, and what the cell looks at:
    nothing, h before each step, or (the first c, c after each step).
    """
    g_y, *states = flows
    kept, *looked = saved
    steps = kept.shape[1]
    made: list[Any] = [None] * steps
    for t in reversed(_order(steps, reverse)):
        active = _active(lengths, t)
        before, after = _looked_at(looked, t, steps, reverse)
        reached = (states[0] + g_y[:, t], *states[1:])
        flow, direct = cell.back(k, reached, kept[:, t], before, after)
        made[t] = _chosen(k, active, flow, 0 * flow)
        through = (direct[0] + cell.seen(k, flow) @ w_hh, *direct[1:])
        states = [_chosen(k, active, new, old) for new, old in zip(through, states, strict=True)]
    flow = k.stack(made, 1)
    return (flow, k.total(flow), *states)


def _looked_at(looked: Any, t: int, steps: int, reverse: bool) -> tuple[Any, Any]:
    if len(looked) < 2:
        return (looked[0][:, t] if looked else None), None
    first, cells = looked
    previous = t + 1 if reverse else t - 1
    return (cells[:, previous] if 0 <= previous < steps else first), cells[:, t]

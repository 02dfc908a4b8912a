"""Recurrent layers: sequences read step by step, with a state carried along."""

from __future__ import annotations

from typing import ClassVar

from engine.errors import ShapeError
from engine.nn import init
from engine.nn.dropout import Dropout
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.nn.sizes import positive
from engine.ops.movement import cat, stack, transpose
from engine.ops.recurrent import recurrent
from engine.tensor import Tensor

States = tuple[Tensor, ...]


class _Recurrent(Module):
    """Layers of one recurrence over each other, in one direction or both.

    Parameters are called as in PyTorch (`weight_ih_l0`, `weight_hh_l0_reverse`, ...) and begin as
    there: U(-k, k), k = 1 / sqrt(hidden_size).
    """

    gates: ClassVar[int]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: object = "float32",
    ) -> None:
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.num_layers = positive("num_layers", num_layers)
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout = Dropout(dropout)
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * len(self.directions)
            for reverse in self.directions:
                self._add_parameters(_suffix(layer, reverse), width, dtype)

    @property
    def directions(self) -> tuple[bool, ...]:
        return (False, True) if self.bidirectional else (False,)

    @property
    def kind(self) -> str:
        """The name of the operation."""
        raise NotImplementedError

    def _add_parameters(self, suffix: str, width: int, dtype: object) -> None:
        rule, wide = init.torch_default(self.hidden_size), self.gates * self.hidden_size
        setattr(self, f"weight_ih{suffix}", Parameter((wide, width), rule, dtype=dtype))
        setattr(self, f"weight_hh{suffix}", Parameter((wide, self.hidden_size), rule, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            bias = Parameter((wide,), rule, dtype=dtype) if self.bias else None
            setattr(self, f"{name}{suffix}", bias)

    def _weights(self, suffix: str) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        w_ih, w_hh, b_ih, b_hh = (
            getattr(self, f"{name}{suffix}")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        return w_ih, w_hh, b_ih, b_hh

    def _run(
        self, x: Tensor, states: States | None, lengths: Tensor | None
    ) -> tuple[Tensor, States]:
        """(the sequence of the last layer, every state [layers * directions, batch, hidden])."""
        if x.ndim != 3 or x.shape[2] != self.input_size:
            order = "batch, steps" if self.batch_first else "steps, batch"
            self.refuse(f"[{order}, {self.input_size}]", x)
        x = x if self.batch_first else transpose(x, 0, 1)
        self._check_states(x, states)
        found: list[States] = []
        for layer in range(self.num_layers):
            if layer:
                x = self.dropout(x)
            x, last = self._layer(x, layer, states, lengths)
            found += last
        joined = tuple(stack(list(parts)) for parts in zip(*found, strict=True))
        return (x if self.batch_first else transpose(x, 0, 1)), joined

    def _layer(
        self, x: Tensor, layer: int, states: States | None, lengths: Tensor | None
    ) -> tuple[Tensor, list[States]]:
        made, last = [], []
        for side, reverse in enumerate(self.directions):
            place = layer * len(self.directions) + side
            first = None if states is None else tuple(state[place] for state in states)
            weights = self._weights(_suffix(layer, reverse))
            y, ends = recurrent(self.kind, x, first, weights, lengths=lengths, reverse=reverse)
            made.append(y)
            last.append(ends)
        return (made[0] if len(made) == 1 else cat(made, 2)), last

    def _check_states(self, x: Tensor, states: States | None) -> None:
        wanted = (self.num_layers * len(self.directions), x.shape[0], self.hidden_size)
        for state in states or ():
            if state.shape != wanted:
                raise ShapeError(
                    f"{self.label()}: a first state {list(wanted)} was expected "
                    f"([layers * directions, batch, hidden]), got {state.type}"
                )

    def describe(self) -> str:
        words = [f"{self.input_size}, {self.hidden_size}"]
        words += [f"num_layers={self.num_layers}"] if self.num_layers > 1 else []
        words += [f"dropout={self.dropout.p}"] if self.dropout.p else []
        words += [
            f"{name}=True" for name in ("batch_first", "bidirectional") if getattr(self, name)
        ]
        return ", ".join(words if self.bias else [*words, "bias=False"])


class RNN(_Recurrent):
    """h' = f(W x + b + V h + c) over a sequence, f tanh or relu. Elman (1990).

    x [steps, batch, input_size] ([batch, steps, input_size] with `batch_first`) -> (the h of the
    last layer at every step, the last h of every layer [layers * directions, batch, hidden]).
    lengths [batch]: steps from there on are padding: they leave h alone and give zeros.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: object = "float32",
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be tanh or relu, got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            dtype=dtype,
        )  # fmt: skip

    @property
    def kind(self) -> str:
        return f"rnn_{self.nonlinearity}"

    def forward(
        self, x: Tensor, h0: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        y, (h,) = self._run(x, None if h0 is None else (h0,), lengths)
        return y, h


class GRU(_Recurrent):
    """Gated recurrent units over a sequence. Cho et al. (2014); gates r, z, n as in PyTorch.

    r, z = sigmoid(W x + b + V h + c), n = tanh(W x + b + r (V h + c)), h' = (1 - z) n + z h.
    Inputs and results as `RNN`.
    """

    gates = 3

    @property
    def kind(self) -> str:
        return "gru"

    def forward(
        self, x: Tensor, h0: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        y, (h,) = self._run(x, None if h0 is None else (h0,), lengths)
        return y, h


class LSTM(_Recurrent):
    """Long short-term memory over a sequence. Hochreiter and Schmidhuber (1997).

    i, f, o = sigmoid(W x + b + V h + c), g = tanh of the same; c' = f c + i g, h' = o tanh c'.
    Inputs and results as `RNN`, with (h, c) in place of h.
    """

    gates = 4

    @property
    def kind(self) -> str:
        return "lstm"

    def forward(
        self,
        x: Tensor,
        states: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, (h, c) = self._run(x, states, lengths)
        return y, (h, c)


def _suffix(layer: int, reverse: bool) -> str:
    return f"_l{layer}_reverse" if reverse else f"_l{layer}"

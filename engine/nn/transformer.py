"""The blocks of transformers."""

from __future__ import annotations

from copy import deepcopy

from engine.nn.activation import GELU, ReLU
from engine.nn.attention import MultiheadAttention
from engine.nn.containers import ModuleList
from engine.nn.dropout import Dropout
from engine.nn.linear import Linear
from engine.nn.module import Module
from engine.nn.norm import LayerNorm
from engine.nn.sizes import positive
from engine.tensor import Tensor

ACTIVATIONS = {"relu": ReLU, "gelu": GELU}


class TransformerEncoderLayer(Module):
    """Attention and two linear maps with an activation between, each added to what comes in.

    x [..., T, d_model] -> the same. norm_first: x + f(norm(x)), as in GPT-2, rather than
    norm(x + f(x)), as in Vaswani et al. (2017). causal: no position sees a later one; the block of
    a decoder without an encoder. num_kv_heads, rotary: as in `MultiheadAttention`.
    Parameters and their names are those of PyTorch.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
        layer_norm_eps: float = 1e-5,
        *,
        norm_first: bool = False,
        bias: bool = True,
        causal: bool = False,
        num_kv_heads: int | None = None,
        rotary: bool = False,
        dtype: object = "float32",
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
        self.norm_first = norm_first
        self.activation = activation
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, num_kv_heads=num_kv_heads, causal=causal,
            rotary=rotary, dtype=dtype,
        )  # fmt: skip
        hidden = positive("dim_feedforward", dim_feedforward)
        self.linear1 = Linear(d_model, hidden, bias, dtype=dtype)
        self.between = ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(hidden, d_model, bias, dtype=dtype)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """mask: as `scaled_dot_product_attention` has it, over [..., nhead, T, T]."""
        if x.ndim < 2 or x.shape[-1] != self.self_attn.embed_dim:
            self.refuse(f"[..., positions, {self.self_attn.embed_dim}]", x)
        if self.norm_first:
            x = x + self._attended(self.norm1(x), mask)
            return x + self._fed(self.norm2(x))
        x = self.norm1(x + self._attended(x, mask))
        y: Tensor = self.norm2(x + self._fed(x))
        return y

    def _attended(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y: Tensor = self.dropout1(self.self_attn(x, mask=mask))
        return y

    def _fed(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout2(self.linear2(self.dropout(self.between(self.linear1(x)))))
        return y

    def describe(self) -> str:
        return "norm_first=True" if self.norm_first else ""


class TransformerEncoder(Module):
    """`num_layers` copies of a layer one after the other, then a norm if one is given.

    Every copy has parameters of its own.
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        count = positive("num_layers", num_layers)
        self.layers = ModuleList(deepcopy(encoder_layer) for _ in range(count))
        self.norm = norm

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask=mask)
        return x if self.norm is None else self.norm(x)

"""Multi-head attention, and what tells it positions."""

from __future__ import annotations

from engine.nn import init
from engine.nn.linear import Linear
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.nn.sizes import positive
from engine.ops.attention import scaled_dot_product_attention, self_attention
from engine.ops.matmul import linear
from engine.ops.movement import cat, reshape, transpose, unflatten
from engine.ops.positions import rotary, sinusoidal_positions
from engine.ops.slicing import narrow
from engine.tensor import Tensor


class MultiheadAttention(Module):
    """softmax(q kᵀ / √d) v in `num_heads` heads of d = embed_dim / num_heads, then a linear map.

    query [..., T, embed_dim] -> the same; keys and values come from the query itself, or from
    key [..., S, embed_dim] and value (the key unless given). Vaswani et al. (2017).
    num_kv_heads: heads of keys and values, which then serve several of queries (Ainslie et al.
    2023). causal: no position sees a later one. rotary: queries and keys are turned by their
    positions (Su et al. 2021). dropout: of the weights, while training.
    Parameters are those of PyTorch: in_proj_weight [embed_dim + 2 num_kv_heads d, embed_dim] holds
    the maps for queries, keys and values in this order, Glorot-uniform; biases begin at 0.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        num_kv_heads: int | None = None,
        causal: bool = False,
        rotary: bool = False,
        dtype: object = "float32",
    ) -> None:
        self.embed_dim = positive("embed_dim", embed_dim)
        self.num_heads = positive("num_heads", num_heads)
        many = num_heads if num_kv_heads is None else positive("num_kv_heads", num_kv_heads)
        _check(embed_dim, num_heads, many, rotary)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be a probability from 0 to below 1, got {dropout}")
        self.num_kv_heads, self.dropout, self.causal, self.rotary = many, dropout, causal, rotary
        width = embed_dim + 2 * many * (embed_dim // num_heads)
        self.in_proj_weight = Parameter((width, embed_dim), init.xavier_uniform(), dtype=dtype)
        self.in_proj_bias = Parameter((width,), init.zeros, dtype=dtype) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, bias_init=init.zeros, dtype=dtype)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Tensor | None = None,
    ) -> Tensor:
        """mask: as `scaled_dot_product_attention` has it, over [..., num_heads, T, S]."""
        for given in (query, key, value):
            if given is not None and (given.ndim < 2 or given.shape[-1] != self.embed_dim):
                self.refuse(f"[..., positions, {self.embed_dim}]", given)
        if key is None and value is None:
            mixed = self._of_itself(query, mask)
        else:
            mixed = self._across(query, query if key is None else key, value, mask)
        y: Tensor = self.out_proj(mixed)
        return y

    @property
    def _rate(self) -> float:
        return self.dropout if self.training else 0.0

    def _of_itself(self, x: Tensor, mask: Tensor | None) -> Tensor:
        qkv = linear(x, self.in_proj_weight, self.in_proj_bias)
        heads, many = self.num_heads, self.num_kv_heads
        if self.rotary:
            split = unflatten(qkv, -1, (heads + 2 * many, self.embed_dim // heads))
            turned = rotary(narrow(split, -2, 0, heads + many), -3)
            qkv = reshape(cat([turned, narrow(split, -2, heads + many, many)], -2), qkv.shape)
        return self_attention(
            qkv, heads, many, mask=mask, causal=self.causal, dropout_p=self._rate
        )  # fmt: skip

    def _across(
        self, query: Tensor, key: Tensor, value: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        wide = (self.in_proj_weight.shape[0] - self.embed_dim) // 2
        q = self._mapped(query, 0, self.embed_dim)
        if value is None:
            both = self._mapped(key, self.embed_dim, 2 * wide)
            k, v = narrow(both, -1, 0, wide), narrow(both, -1, wide, wide)
        else:
            k = self._mapped(key, self.embed_dim, wide)
            v = self._mapped(value, self.embed_dim + wide, wide)
        each = (self.num_heads, self.num_kv_heads, self.num_kv_heads)
        apart = [unflatten(x, -1, (n, -1)) for x, n in zip((q, k, v), each, strict=True)]
        if self.rotary:
            apart[:2] = [rotary(x, -3) for x in apart[:2]]
        y = scaled_dot_product_attention(
            *[transpose(x, -2, -3) for x in apart], mask=mask, causal=self.causal,
            dropout_p=self._rate,
        )  # fmt: skip
        return reshape(transpose(y, -2, -3), query.shape)

    def _mapped(self, x: Tensor, start: int, length: int) -> Tensor:
        """Some of the outputs of the map for queries, keys and values."""
        bias = None if self.in_proj_bias is None else narrow(self.in_proj_bias, 0, start, length)
        return linear(x, narrow(self.in_proj_weight, 0, start, length), bias)

    def describe(self) -> str:
        words = [f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"]
        words += [f"num_kv_heads={self.num_kv_heads}"] * (self.num_kv_heads != self.num_heads)
        words += [f"dropout={self.dropout}"] * (self.dropout > 0)
        words += ["bias=False"] * (self.in_proj_bias is None)
        words += ["causal=True"] * self.causal + ["rotary=True"] * self.rotary
        return ", ".join(words)


def _check(width: int, heads: int, many: int, turned: bool) -> None:
    if width % heads:
        raise ValueError(f"embed_dim {width} does not part into {heads} heads")
    if heads % many:
        raise ValueError(f"num_kv_heads {many} must divide the {heads} heads of queries")
    if turned and width // heads % 2:
        raise ValueError(f"rotary wants heads of an even length, not {width // heads}")


class PositionalEncoding(Module):
    """y = x + waves: [..., T, d] -> the same; nothing is learned. Vaswani et al. (2017)."""

    def __init__(self, d_model: int, *, base: float = 10000.0) -> None:
        self.d_model = positive("d_model", d_model)
        self.base = base

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[-1] != self.d_model:
            self.refuse(f"[..., positions, {self.d_model}]", x)
        return x + sinusoidal_positions(x.shape[-2], self.d_model, base=self.base, dtype=x.dtype)

    def describe(self) -> str:
        return f"{self.d_model}"


class PositionalEmbedding(Module):
    """y = x + weight[:T]: [..., T, d] -> the same, a learned row for each of max_len positions.

    The weight [max_len, d] begins as N(0, 0.02²), as in GPT-2 (Radford et al. 2019).
    """

    def __init__(self, max_len: int, d_model: int, *, dtype: object = "float32") -> None:
        self.max_len = positive("max_len", max_len)
        self.d_model = positive("d_model", d_model)
        self.weight = Parameter((max_len, d_model), init.normal(std=0.02), dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[-1] != self.d_model or x.shape[-2] > self.max_len:
            self.refuse(f"[..., up to {self.max_len} positions, {self.d_model}]", x)
        whole = x.shape[-2] == self.max_len
        return x + (self.weight if whole else narrow(self.weight, 0, 0, x.shape[-2]))

    def describe(self) -> str:
        return f"{self.max_len}, {self.d_model}"

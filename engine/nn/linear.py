"""Linear maps."""

from __future__ import annotations

from engine.nn import init
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.nn.sizes import positive
from engine.ops.matmul import linear
from engine.tensor import Tensor


class Linear(Module):
    """y = x W^T + b over the last axis: [..., in_features] -> [..., out_features].

    Weight [out, in] and bias [out] begin as in PyTorch: U(-k, k), k = 1 / sqrt(in_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_init: init.Rule | None = None,
        bias_init: init.Rule | None = None,
        dtype: object = "float32",
    ) -> None:
        self.in_features = positive("in_features", in_features)
        self.out_features = positive("out_features", out_features)
        rule = init.torch_default(in_features)
        self.weight = Parameter((out_features, in_features), weight_init or rule, dtype=dtype)
        self.bias = Parameter((out_features,), bias_init or rule, dtype=dtype) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if not x.shape or x.shape[-1] != self.in_features:
            self.refuse(f"[..., {self.in_features}]", x)
        return linear(x, self.weight, self.bias)

    def describe(self) -> str:
        words = f"in_features={self.in_features}, out_features={self.out_features}"
        return words if self.bias is not None else f"{words}, bias=False"

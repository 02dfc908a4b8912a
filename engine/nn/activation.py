"""Activations as layers; the formulas stand with the operations of the same names."""

from __future__ import annotations

from typing import Any, ClassVar

from engine.nn import init
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.nn.sizes import positive
from engine.ops import activations as ops
from engine.ops.elementwise import tanh
from engine.ops.movement import reshape
from engine.ops.softmax import log_softmax, softmax, softmin
from engine.tensor import Tensor


class _Activation(Module):
    """y = function(x), element by element, with options by the names that PyTorch uses."""

    function: ClassVar[Any]
    names: ClassVar[dict[str, str]] = {}  # argument here -> argument of the operation

    def __init__(self, **options: float) -> None:
        vars(self).update(options)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = type(self).function(
            x, **{name: getattr(self, given) for given, name in self.names.items()}
        )
        return found

    def describe(self) -> str:
        return ", ".join(f"{given}={getattr(self, given)}" for given in self.names)


class ReLU(_Activation):
    """max(x, 0)."""

    function = ops.relu


class ReLU6(_Activation):
    """min(max(x, 0), 6)."""

    function = ops.relu6


class SELU(_Activation):
    """scale * (max(0, x) + min(0, alpha (e^x - 1))). Klambauer et al. (2017)."""

    function = ops.selu


class SiLU(_Activation):
    """x sigmoid(x)."""

    function = ops.silu


class Mish(_Activation):
    """x tanh(softplus(x)). Misra (2019)."""

    function = ops.mish


class Hardswish(_Activation):
    """x min(max(x + 3, 0), 6) / 6. Howard et al. (2019)."""

    function = ops.hardswish


class Sigmoid(_Activation):
    """1 / (1 + e^-x)."""

    function = ops.sigmoid


class Hardsigmoid(_Activation):
    """min(max(x + 3, 0), 6) / 6."""

    function = ops.hardsigmoid


class LogSigmoid(_Activation):
    """log(1 / (1 + e^-x))."""

    function = ops.logsigmoid


class Tanh(_Activation):
    """(e^x - e^-x) / (e^x + e^-x)."""

    function = tanh


class Tanhshrink(_Activation):
    """x - tanh(x)."""

    function = ops.tanhshrink


class Softsign(_Activation):
    """x / (1 + |x|)."""

    function = ops.softsign


class LeakyReLU(_Activation):
    """x where above 0, else negative_slope * x."""

    function = ops.leaky_relu
    names = {"negative_slope": "slope"}

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(negative_slope=negative_slope)


class ELU(_Activation):
    """x where above 0, else alpha (e^x - 1). Clevert et al. (2016)."""

    function = ops.elu
    names = {"alpha": "alpha"}

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class CELU(_Activation):
    """max(0, x) + min(0, alpha (e^(x / alpha) - 1)). Barron (2017)."""

    function = ops.celu
    names = {"alpha": "alpha"}

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)


class Hardtanh(_Activation):
    """min(max(x, min_val), max_val)."""

    function = ops.hardtanh
    names = {"min_val": "low", "max_val": "high"}

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        if min_val >= max_val:
            raise ValueError(f"min_val {min_val} must be below max_val {max_val}")
        super().__init__(min_val=min_val, max_val=max_val)


class Softplus(_Activation):
    """log(1 + e^(beta x)) / beta."""

    function = ops.softplus
    names = {"beta": "beta"}

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__(beta=beta)


class Softshrink(_Activation):
    """x moved by lambd towards 0, and 0 in between."""

    function = ops.softshrink
    names = {"lambd": "threshold"}

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=lambd)


class Hardshrink(_Activation):
    """x where |x| is above lambd, else 0."""

    function = ops.hardshrink
    names = {"lambd": "threshold"}

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=lambd)


class Threshold(_Activation):
    """x where above the threshold, else value."""

    function = ops.threshold
    names = {"threshold": "threshold", "value": "value"}

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__(threshold=threshold, value=value)


class GELU(Module):
    """x Phi(x), Phi the normal distribution; approximate="tanh" for Hendrycks' approximation."""

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = ops.gelu(x) if self.approximate == "none" else ops.gelu_tanh(x)
        return found

    def describe(self) -> str:
        return "" if self.approximate == "none" else "approximate='tanh'"


class PReLU(Module):
    """x where above 0, else weight * x, the weight learned for each channel of axis 1 or for all.

    He et al. (2015).
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: object = "float32"
    ) -> None:
        self.channels = positive("num_parameters", num_parameters)
        self.weight = Parameter((num_parameters,), _constant(init), dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        n = self.channels
        if n > 1 and (x.ndim < 2 or x.shape[1] != n):
            self.refuse(f"[N, {n}, ...]", x)
        shape = (n,) + (1,) * max(0, x.ndim - 2) if n > 1 else (1,)
        found: Tensor = ops.prelu(x, reshape(self.weight, shape))
        return found

    def describe(self) -> str:
        return f"num_parameters={self.channels}"


class _AlongAxis(Module):
    function: ClassVar[Any]

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        if not -x.ndim <= self.dim < x.ndim:
            self.refuse(f"an axis {self.dim}", x)
        found: Tensor = type(self).function(x, self.dim)
        return found

    def describe(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """exp(x) / sum(exp(x)) along axis `dim`."""

    function = staticmethod(softmax)


class LogSoftmax(_AlongAxis):
    """log softmax(x) along axis `dim`."""

    function = staticmethod(log_softmax)


class Softmin(_AlongAxis):
    """softmax(-x) along axis `dim`."""

    function = staticmethod(softmin)


class _Gated(_AlongAxis):
    def forward(self, x: Tensor) -> Tensor:
        if not -x.ndim <= self.dim < x.ndim or x.shape[self.dim] % 2:
            self.refuse(f"an even number of elements in axis {self.dim}", x)
        return super().forward(x)


class GLU(_Gated):
    """a sigmoid(b), a and b the halves of x along axis `dim`. Dauphin et al. (2017)."""

    function = staticmethod(ops.glu)


class GEGLU(_Gated):
    """a gelu(b), a and b the halves of x along axis `dim`. Shazeer (2020)."""

    function = staticmethod(ops.geglu)


class SwiGLU(_Gated):
    """a silu(b), a and b the halves of x along axis `dim`. Shazeer (2020)."""

    function = staticmethod(ops.swiglu)


def _constant(value: float) -> init.Rule:
    return init.constant(value)

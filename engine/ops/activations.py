"""Activation functions; every one is a scalar function and so is its derivative."""

from __future__ import annotations

import math

from engine.dispatch import single
from engine.errors import ShapeError
from engine.ops.pointwise import pointwise
from engine.ops.scalar import Expr, const, primitive
from engine.ops.slicing import split
from engine.tensor import Tensor

_erf, _exp, _expm1 = primitive("erf"), primitive("exp"), primitive("expm1")
_tanh, _abs, _where = primitive("tanh"), primitive("abs"), primitive("where")
_sigmoid, _softplus = primitive("sigmoid"), primitive("softplus")
_minimum, _relu = primitive("minimum"), primitive("relu")
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _between(x: Expr, low: float, high: float) -> Expr:
    return _where(x <= low, const(low), _where(x >= high, const(high), x))


@pointwise
def relu(x: Expr) -> Expr:
    """max(x, 0); derivative 0 at 0."""
    return _relu(x)


@pointwise
def relu6(x: Expr) -> Expr:
    """min(max(x, 0), 6)."""
    return _between(x, 0, 6)


@pointwise
def leaky_relu(x: Expr, *, slope: float = 0.01) -> Expr:
    """x where positive, else slope x."""
    return _where(x > 0, x, slope * x)


@pointwise
def prelu(x: Expr, weight: Expr) -> Expr:
    """x where positive, else weight x; the weight broadcasts."""
    return _where(x > 0, x, weight * x)


@pointwise
def elu(x: Expr, *, alpha: float = 1.0) -> Expr:
    """x where positive, else alpha (exp x - 1). Clevert et al. 2016."""
    return _where(x > 0, x, alpha * _expm1(_minimum(x, 0)))


@pointwise
def selu(x: Expr) -> Expr:
    """scale elu(x, alpha) with the constants of Klambauer et al. 2017."""
    return _SELU_SCALE * elu(x, alpha=_SELU_ALPHA)


@pointwise
def celu(x: Expr, *, alpha: float = 1.0) -> Expr:
    """x where positive, else alpha (exp(x / alpha) - 1). Barron 2017."""
    return _where(x > 0, x, alpha * _expm1(_minimum(x, 0) * (1 / alpha)))


@pointwise
def gelu(x: Expr) -> Expr:
    """x Φ(x), Φ the normal distribution function. Hendrycks and Gimpel 2016."""
    return 0.5 * x * (1 + _erf(x * math.sqrt(0.5)))


@pointwise
def gelu_tanh(x: Expr) -> Expr:
    """The tanh approximation of `gelu`."""
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + _tanh(inner))


@pointwise
def sigmoid(x: Expr) -> Expr:
    """1 / (1 + exp -x)."""
    return _sigmoid(x)


@pointwise
def silu(x: Expr) -> Expr:
    """x sigmoid(x)."""
    return x * _sigmoid(x)


@pointwise
def mish(x: Expr) -> Expr:
    """x tanh(softplus x). Misra 2019."""
    return x * _tanh(_softplus(x))


@pointwise
def hardswish(x: Expr) -> Expr:
    """x relu6(x + 3) / 6. Howard et al. 2019."""
    return x * _between(x + 3, 0, 6) / 6


@pointwise
def hardsigmoid(x: Expr) -> Expr:
    """relu6(x + 3) / 6."""
    return _between(x + 3, 0, 6) / 6


@pointwise
def logsigmoid(x: Expr) -> Expr:
    """log sigmoid(x), safe for large negative x."""
    return -_softplus(-x)


@pointwise
def softplus(x: Expr, *, beta: float = 1.0) -> Expr:
    """log(1 + exp(beta x)) / beta, safe for large x."""
    return _softplus(beta * x) * (1 / beta)


@pointwise
def softsign(x: Expr) -> Expr:
    """x / (1 + |x|)."""
    return x / (1 + _abs(x))


@pointwise
def tanhshrink(x: Expr) -> Expr:
    """x - tanh x."""
    return x - _tanh(x)


@pointwise
def hardtanh(x: Expr, *, low: float = -1.0, high: float = 1.0) -> Expr:
    """x held between low and high; derivative 0 on the bounds."""
    return _between(x, low, high)


@pointwise
def softshrink(x: Expr, *, threshold: float = 0.5) -> Expr:
    """x pulled towards 0 by the threshold; 0 within it."""
    return _where(x > threshold, x - threshold, _where(x < -threshold, x + threshold, const(0)))


@pointwise
def hardshrink(x: Expr, *, threshold: float = 0.5) -> Expr:
    """x outside [-threshold, threshold], 0 within."""
    return _where(_abs(x) > threshold, x, const(0))


@pointwise
def threshold(x: Expr, *, threshold: float = 0.0, value: float = 0.0) -> Expr:
    """x where it exceeds the threshold, else `value`."""
    return _where(x > threshold, x, const(value))


def glu(x: Tensor, axis: int = -1) -> Tensor:
    """a sigmoid(b), a and b the halves of x along an axis. Dauphin et al. 2017."""
    a, b = _halves(x, axis)
    return single("mul", a, sigmoid(b))


def geglu(x: Tensor, axis: int = -1) -> Tensor:
    """a gelu(b). Shazeer 2020."""
    a, b = _halves(x, axis)
    return single("mul", a, gelu(b))


def swiglu(x: Tensor, axis: int = -1) -> Tensor:
    """a silu(b). Shazeer 2020."""
    a, b = _halves(x, axis)
    return single("mul", a, silu(b))


def _halves(x: Tensor, axis: int) -> list[Tensor]:
    if x.shape[axis] % 2:
        raise ShapeError(f"glu: axis {axis} of {x.type} is odd; it is cut into two halves")
    return split(x, x.shape[axis] // 2, axis)

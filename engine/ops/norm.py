"""Normalisation kept whole: batch, layer, group and root-mean-square.

Every one views x so that some axes are normalised and a weight broadcasts over the rest:

    y = (x - mean) / √(variance + eps) · weight + bias

Outputs are (y, mean, variance) as the statistics of x; for `rms_norm` the mean is 0 and the
variance the mean square. The gradient is an operation in closed form, which differentiates again
through the same formula written in plain operations.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from engine import dtypes
from engine.backend import normalization
from engine.dispatch import apply, single
from engine.errors import DtypeError, ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import reduced
from engine.ops.composite import differentiated
from engine.ops.movement import expand, reshape, sum_to
from engine.ops.pointwise import pointwise
from engine.ops.registry import outputs_of, register
from engine.ops.scalar import Expr, const, primitive
from engine.tape import Context
from engine.tensor import Tensor

#: (shape of x as it is normalised, axes over which, shape of the weight there, shape of the weight)
View = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
Shape = tuple[int, ...]


def _batch_view(shape: Shape) -> View:
    channels = (1, shape[1], *(1,) * (len(shape) - 2))
    return shape, (0, *range(2, len(shape))), channels, shape[1:2]


def _group_view(shape: Shape, groups: int) -> View:
    inner = (groups, shape[1] // groups)
    view = (shape[0], *inner, *shape[2:])
    return view, tuple(range(2, len(view))), (1, *inner, *(1,) * len(shape[2:])), shape[1:2]


def _last_view(shape: Shape, dims: int) -> View:
    last = shape[len(shape) - dims :]
    axes = tuple(range(len(shape) - dims, len(shape)))
    return shape, axes, (1,) * (len(shape) - dims) + last, last


class _Family:
    """One kind of normalisation: how it views x, and the two operations that come of it."""

    def __init__(self, name: str, view_of: Callable[..., View], *, centered: bool = True) -> None:
        self.name, self.view_of, self.centered = name, view_of, centered
        flags = {"promotes": True, "into": True}
        register(name, self.infer, self.ref, self.vjp, _cost(8), inputs=_INPUTS, **flags)
        register(
            f"{name}_grad",
            self.grad_infer,
            self.grad_ref,
            lambda ctx, *gradients: differentiated(self.composite, ctx, gradients),
            _cost(12),
            inputs=("g", "x", "mean", "variance", *_INPUTS[1:]),
            **flags,
        )

    def view(self, x: Any, attrs: dict[str, Any]) -> View:
        return self.view_of(x.shape, **{k: v for k, v in attrs.items() if k != "eps"})

    def infer(self, x: TensorType, *weights: TensorType, **attrs: Any) -> Any:
        view = self.view(x, attrs)
        if not dtypes.is_float(x.dtype):
            raise DtypeError(f"{self.name}: {x} holds no floats")
        for role, given in zip(_INPUTS[1:], weights, strict=False):
            if given.shape != view[3]:
                raise ShapeError(
                    f"{self.name}: the {role} {given} must have the shape {list(view[3])}"
                )
        statistic = TensorType(reduced(view[0], view[1], False), x.dtype)
        return x, statistic, statistic

    def ref(self, x: Any, *weights: Any, eps: float, out: Any = None, **attrs: Any) -> Any:
        view = self.view(x, attrs)
        wide = dtypes.float32 if x.dtype == dtypes.float16 else x.dtype
        seen = x.reshape(view[0]).astype(wide, copy=False)
        middle, variance = normalization.statistics(seen, view[1], self.centered)
        scale = normalization.scale_of(variance, eps)
        given = [w.reshape(view[2]).astype(wide, copy=False) for w in weights] + [None, None]
        target = None if out is None or wide != x.dtype else out[0].reshape(view[0])
        y = normalization.normalized(seen, middle, scale, given[0], given[1], target)
        flat = reduced(view[0], view[1], False)
        middle = middle if self.centered else variance * 0
        results = y.reshape(x.shape), middle.reshape(flat), variance.reshape(flat)
        if out is None:
            return tuple(r.astype(x.dtype, copy=False) for r in results)
        filled = target is not None
        return _placed(results[filled:], out[filled:])

    def vjp(self, ctx: Context, g: Tensor, g_mean: Tensor, g_variance: Tensor) -> Any:
        inputs = (g, ctx.x, ctx.ys[1], ctx.ys[2], *ctx.inputs[1:])
        found = list(outputs_of(apply(f"{self.name}_grad", *inputs, **ctx.attrs)))
        if ctx.live[1] or ctx.live[2]:
            found[0] = found[0] + self.from_statistics(ctx, g_mean, g_variance)
        return tuple(found)

    def from_statistics(self, ctx: Context, g_mean: Tensor, g_variance: Tensor) -> Tensor:
        """What flows into x from its mean and variance."""
        shape, axes, _, _ = self.view(ctx.x, ctx.attrs)
        kept, share = reduced(shape, axes, True), _share(shape, axes)
        away = reshape(ctx.x, shape) - reshape(ctx.ys[1], kept)
        flow = away * (reshape(g_variance, kept) * (2 * share))
        if self.centered:
            flow = flow + expand(reshape(g_mean, kept) * share, shape)
        return reshape(flow, ctx.x.shape)

    def grad_infer(self, g: TensorType, x: TensorType, *rest: TensorType, **attrs: Any) -> Any:
        weights = rest[2:]
        return (x, *weights) if weights else x

    def grad_ref(
        self, g: Any, x: Any, mean: Any, variance: Any, *weights: Any, out: Any = None, **attrs: Any
    ) -> Any:
        view = self.view(x, attrs)
        kept = reduced(view[0], view[1], True)
        scale = normalization.scale_of(variance.reshape(kept), attrs["eps"])
        weight = weights[0].reshape(view[2]) if weights else None
        flow, seen = g.reshape(view[0]), x.reshape(view[0])
        middle = mean.reshape(kept)
        back, *sums = normalization.gradients(
            flow, seen, middle, scale, weight, view[1], self.centered
        )
        found = [s.reshape(view[3]) for s in sums[: len(weights)]]
        return _placed((back.reshape(x.shape), *found), out)

    def composite(
        self, g: Tensor, x: Tensor, _m: Tensor, _v: Tensor, *weights: Tensor, **attrs: Any
    ) -> Any:
        """The gradient in plain operations; the statistics are computed from x once more."""
        shape, axes, line, flat = self.view(x, attrs)
        plain, scale = self.normalized(reshape(x, shape), axes, attrs["eps"])
        flow, share = reshape(g, shape), _share(shape, axes)
        weight = reshape(weights[0], line) if weights else None
        inner = flow if weight is None else flow * weight
        back = inner - plain * _mean(inner * plain, axes, share)
        if self.centered:
            back = back - _mean(inner, axes, share)
        back = reshape(back * scale, x.shape)
        sums = [reshape(sum_to(t, line), flat) for t in (flow * plain, flow)[: len(weights)]]
        return (back, *sums) if sums else back

    def normalized(self, x: Tensor, axes: Shape, eps: float) -> tuple[Tensor, Tensor]:
        """(x - mean) / √(variance + eps), and the reciprocal root, in plain operations."""
        share = _share(x.shape, axes)
        away = x - _mean(x, axes, share) if self.centered else x
        scale = single("rsqrt", _mean(single("square", away), axes, share) + eps)
        return away * scale, scale


_INPUTS = ("x", "weight", "bias")


def _share(shape: Shape, axes: Shape) -> float:
    return 1 / max(1, prod(shape[a] for a in axes))


def _mean(x: Tensor, axes: Shape, share: float) -> Tensor:
    return single("sum", x, axes=axes, keepdims=True) * share


def _cost(each: int) -> Callable[..., int]:
    """So many operations an element of the largest input."""
    return lambda *types, **attrs: each * max(t.size for t in types)


def _placed(results: tuple[Any, ...], out: Any) -> Any:
    """The results, or the arrays of `out` filled with them."""
    if out is None:
        return results if len(results) > 1 else results[0]
    for array, result in zip(out if isinstance(out, tuple) else (out,), results, strict=True):
        array[...] = result
    return out


_Family("batch_norm", _batch_view)
_Family("group_norm", _group_view)
_Family("layer_norm", _last_view)
_Family("rms_norm", _last_view, centered=False)


@pointwise(name="standardize")
def _standardize(x: Expr, mean: Expr, variance: Expr, *, eps: float = 0.0) -> Expr:
    return (x - mean) * primitive("rsqrt")(variance + const(eps))


def _given(*weights: Tensor | None) -> list[Tensor]:
    return [w for w in weights if w is not None]


def batch_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor]:
    """x [n, channels, *size] normalised per channel -> (y, mean, variance [channels]), as in
    training. Ioffe and Szegedy 2015. The variance is the biased one."""
    if x.ndim < 2 or x.size == 0:
        raise ShapeError(f"batch_norm: {x.type} must be [n, channels, ...] and not empty")
    if x.size == x.shape[1]:
        raise ShapeError(f"batch_norm: {x.type} has one value a channel; a variance needs two")
    y, mean, variance = apply("batch_norm", x, *_given(weight, bias), eps=eps)
    return y, mean, variance


def batch_norm_inference(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    eps: float = 1e-5,
) -> Tensor:
    """x normalised with statistics that were kept."""
    line = (-1, *(1,) * (x.ndim - 2))
    y = single("standardize", x, reshape(mean, line), reshape(variance, line), eps=eps)
    if weight is not None:
        y = y * reshape(weight, line)
    return y if bias is None else y + reshape(bias, line)


def layer_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    dims: int = 1,
    eps: float = 1e-5,
) -> Tensor:
    """x normalised over its last `dims` axes. Ba et al. 2016."""
    y: Tensor = apply("layer_norm", x, *_given(weight, bias), dims=dims, eps=eps)[0]
    return y


def rms_norm(
    x: Tensor, weight: Tensor | None = None, *, dims: int = 1, eps: float = 1e-6
) -> Tensor:
    """x / √(mean x² + eps) over its last `dims` axes. Zhang and Sennrich 2019."""
    y: Tensor = apply("rms_norm", x, *_given(weight), dims=dims, eps=eps)[0]
    return y


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    eps: float = 1e-5,
) -> Tensor:
    """x [n, channels, *size] normalised per image and group of channels. Wu and He 2018."""
    if x.ndim < 2 or x.shape[1] % groups:
        raise ShapeError(f"group_norm: the channels of {x.type} do not part into {groups} groups")
    y: Tensor = apply("group_norm", x, *_given(weight, bias), groups=groups, eps=eps)[0]
    return y

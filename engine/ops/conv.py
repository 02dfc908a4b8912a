"""Convolution over one, two or three axes, and its two gradients as operations of their own.

Each of the three is linear in both of its inputs and differentiates into the other two, so any
order of gradient is there. The transposed convolution is the gradient for the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from engine import dtypes
from engine.backend import convolution
from engine.backend.convolution import Geometry
from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ops.movement import reshape
from engine.ops.registry import op
from engine.tape import Context
from engine.tensor import Tensor

Sizes = int | Sequence[int]
Padding = int | str | Sequence[Any]
Pairs = tuple[tuple[int, int], ...]


def _geometry(size: tuple[int, ...], kernel: tuple[int, ...], attrs: dict[str, Any]) -> Geometry:
    return Geometry(size, kernel, attrs["stride"], attrs["padding"], attrs["dilation"])


def _checked(x: TensorType, weight: TensorType, groups: int, attrs: dict[str, Any]) -> Geometry:
    axes = x.ndim - 2
    if weight.ndim != x.ndim or axes < 1 or len(attrs["stride"]) != axes:
        raise ShapeError(
            f"conv: the input {x} must be [n, channels, *size] and the weight {weight} "
            f"[outputs, channels / groups, *kernel] with as many axes"
        )
    outputs, depth = weight.shape[:2]
    if depth * groups != x.shape[1]:
        raise ShapeError(
            f"conv: input has {x.shape[1]} channels, the weight wants {depth * groups} "
            f"({depth} in each of {groups} groups)"
        )
    if outputs % groups:
        raise ShapeError(f"conv: {outputs} outputs cannot be shared out to {groups} groups")
    geometry = _geometry(x.shape[2:], weight.shape[2:], attrs)
    if any(n < 1 for n in geometry.output):
        raise ShapeError(
            f"conv: the kernel {list(weight.shape[2:])} (dilation {list(attrs['dilation'])}) is "
            f"larger than the padded input {list(geometry.padded)}"
        )
    return geometry


def _wide(array: Any) -> Any:
    """float16 is computed in float32: the processor has no products of halves."""
    return array.astype(dtypes.float32) if array.dtype == dtypes.float16 else array


def _computed(
    kernel: Any, arrays: tuple[Any, Any], shape: tuple[int, ...], rest: Any, out: Any
) -> Any:
    first, second = map(_wide, arrays)
    kind = arrays[0].dtype
    if out is not None and first.dtype == kind and out.flags.c_contiguous:
        kernel(first, second, *rest, out)
        return out
    made = array_module(first).empty(shape, first.dtype)
    kernel(first, second, *rest, made)
    if out is None:
        return made.astype(kind, copy=False)
    out[...] = made
    return out


@op("conv", promotes=True, into=True)
class Conv:
    """y[n, o, p] = Σ weight[o, c, t] x[n, c, p stride + t dilation - padding] + bias[o]."""

    def infer(
        x: TensorType,
        weight: TensorType,
        bias: TensorType | None = None,
        *,
        stride: tuple[int, ...],
        padding: Pairs,
        dilation: tuple[int, ...],
        groups: int,
    ) -> TensorType:
        attrs = {"stride": stride, "padding": padding, "dilation": dilation}
        geometry = _checked(x, weight, groups, attrs)
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ShapeError(f"conv: the bias {bias} must have the {weight.shape[0]} outputs")
        return TensorType((x.shape[0], weight.shape[0], *geometry.output), x.dtype)

    def ref(x: Any, weight: Any, bias: Any = None, *, out: Any = None, **attrs: Any) -> Any:
        geometry = _geometry(x.shape[2:], weight.shape[2:], attrs)
        shape = (x.shape[0], weight.shape[0], *geometry.output)
        rest = (geometry, attrs["groups"])
        result = _computed(convolution.forward, (x, weight), shape, rest, out)
        if bias is not None:
            result += bias.reshape(-1, *(1,) * len(geometry.size))
        return result

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor | None, ...]:
        attrs = ctx.attrs
        x = weight = bias = None
        if ctx.needs[0]:
            x = single("conv_input_grad", g, ctx.weight, size=ctx.x.shape[2:], **attrs)
        if ctx.needs[1]:
            kernel = ctx.weight.shape[2:]
            weight = single("conv_weight_grad", ctx.x, g, kernel=kernel, **attrs)
        if len(ctx.inputs) == 3 and ctx.needs[2]:
            bias = single("sum", g, axes=(0, *range(2, g.ndim)), keepdims=False)
        return (x, weight, bias)[: len(ctx.inputs)]

    def flops(x: TensorType, weight: TensorType, bias: Any = None, **attrs: Any) -> int:
        geometry = _geometry(x.shape[2:], weight.shape[2:], attrs)
        places = x.shape[0] * prod(geometry.output)
        return places * (2 * weight.size + (weight.shape[0] if bias is not None else 0))


@op("conv_input_grad", promotes=True, into=True)
class ConvInputGrad:
    """The gradient of `conv` for its input [n, channels, *size]: a transposed convolution."""

    def infer(
        g: TensorType, weight: TensorType, *, size: tuple[int, ...], groups: int, **attrs: Any
    ) -> TensorType:
        x = TensorType((g.shape[0], weight.shape[1] * groups, *size), g.dtype)
        geometry = _checked(x, weight, groups, attrs)
        if g.shape[1:] != (weight.shape[0], *geometry.output):
            raise ShapeError(
                f"conv_transpose: input {g} does not fit the weight {weight}; for a result of size "
                f"{list(size)} it must be [n, {weight.shape[0]}, {list(geometry.output)}]"
            )
        return x

    def ref(
        g: Any, weight: Any, *, size: tuple[int, ...], groups: int, out: Any = None, **attrs: Any
    ) -> Any:
        geometry = _geometry(size, weight.shape[2:], attrs)
        shape = (g.shape[0], weight.shape[1] * groups, *size)
        return _computed(convolution.input_gradient, (g, weight), shape, (geometry, groups), out)

    def vjp(ctx: Context, h: Tensor) -> tuple[Tensor | None, Tensor | None]:
        attrs = {k: v for k, v in ctx.attrs.items() if k != "size"}
        g = weight = None
        if ctx.needs[0]:
            g = single("conv", h, ctx.weight, **attrs)
        if ctx.needs[1]:
            kernel = ctx.weight.shape[2:]
            weight = single("conv_weight_grad", h, ctx.g, kernel=kernel, **attrs)
        return g, weight

    def flops(g: TensorType, weight: TensorType, **attrs: Any) -> int:
        return 2 * g.shape[0] * prod(g.shape[2:]) * weight.size


@op("conv_weight_grad", promotes=True, into=True)
class ConvWeightGrad:
    """The gradient of `conv` for its weight [outputs, channels / groups, *kernel]."""

    def infer(
        x: TensorType, g: TensorType, *, kernel: tuple[int, ...], groups: int, **attrs: Any
    ) -> TensorType:
        weight = TensorType((g.shape[1], x.shape[1] // groups, *kernel), x.dtype)
        geometry = _checked(x, weight, groups, attrs)
        if (x.shape[0], *geometry.output) != (g.shape[0], *g.shape[2:]):
            raise ShapeError(f"conv: the gradient {g} does not fit the input {x}")
        return weight

    def ref(
        x: Any, g: Any, *, kernel: tuple[int, ...], groups: int, out: Any = None, **attrs: Any
    ) -> Any:
        geometry = _geometry(x.shape[2:], kernel, attrs)
        shape = (g.shape[1], x.shape[1] // groups, *kernel)
        return _computed(convolution.weight_gradient, (x, g), shape, (geometry, groups), out)

    def vjp(ctx: Context, h: Tensor) -> tuple[Tensor | None, Tensor | None]:
        attrs = {k: v for k, v in ctx.attrs.items() if k != "kernel"}
        x = g = None
        if ctx.needs[0]:
            x = single("conv_input_grad", ctx.g, h, size=ctx.x.shape[2:], **attrs)
        if ctx.needs[1]:
            g = single("conv", ctx.x, h, **attrs)
        return x, g

    def flops(
        x: TensorType, g: TensorType, *, kernel: tuple[int, ...], groups: int, **_: Any
    ) -> int:
        return 2 * g.size * (x.shape[1] // groups) * prod(kernel)


def sizes(value: Sizes, axes: int, name: str) -> tuple[int, ...]:
    """One number for every axis, or one an axis."""
    listed = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(listed) != axes:
        raise ShapeError(f"{name}: {list(listed)} for {axes} axes")
    return listed


def paddings(padding: Padding, kernel: Sequence[int], dilation: Sequence[int]) -> Pairs:
    """(before, after) an axis, from a number, one number or pair an axis, "same" or "valid"."""
    axes = len(kernel)
    if padding == "valid":
        return ((0, 0),) * axes
    if padding == "same":
        reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        return tuple((r // 2, r - r // 2) for r in reach)
    if isinstance(padding, str):
        raise ShapeError(f"conv: padding {padding!r}; a number, pairs, 'same' or 'valid'")
    listed = (padding,) * axes if isinstance(padding, int) else tuple(padding)
    if len(listed) != axes:
        raise ShapeError(f"conv: padding {list(listed)} for {axes} axes")
    return tuple((p, p) if isinstance(p, int) else (p[0], p[1]) for p in listed)


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution (cross-correlation) over 1 to 3 axes.

    x [n, channels, *size], weight [outputs, channels / groups, *kernel], bias [outputs] ->
    [n, outputs, *positions], positions =
    (size + padding - dilation (kernel - 1) - 1) // stride + 1.
    """
    axes = weight.ndim - 2
    spread = sizes(dilation, axes, "conv: dilation")
    steps = sizes(stride, axes, "conv: stride")
    if padding == "same" and any(s != 1 for s in steps):
        raise ShapeError("conv: padding 'same' needs stride 1")
    pads = paddings(padding, weight.shape[2:], spread)
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return single("conv", *inputs, stride=steps, padding=pads, dilation=spread, groups=groups)


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution: the gradient of `conv` for its input.

    x [n, channels, *size], weight [channels, outputs / groups, *kernel] -> [n, outputs, *result],
    result = (size - 1) stride - padding + dilation (kernel - 1) + output_padding + 1.
    """
    axes = weight.ndim - 2
    steps, spread = sizes(stride, axes, "stride"), sizes(dilation, axes, "dilation")
    extra = sizes(output_padding, axes, "output_padding")
    pads = paddings(padding, weight.shape[2:], spread)
    parts = zip(x.shape[2:], steps, pads, spread, weight.shape[2:], extra, strict=True)
    size = tuple((n - 1) * s - lo - hi + d * (k - 1) + e + 1 for n, s, (lo, hi), d, k, e in parts)
    attrs = {"stride": steps, "padding": pads, "dilation": spread, "groups": groups}
    result = single("conv_input_grad", x, weight, size=size, **attrs)
    if bias is None:
        return result
    return single("add", result, reshape(bias, (1, -1, *(1,) * axes)))

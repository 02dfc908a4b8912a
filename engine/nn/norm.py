"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

from engine.nn import init
from engine.nn.module import Module, set_buffer
from engine.nn.parameter import Buffer, Parameter
from engine.nn.sizes import positive
from engine.ops.elementwise import cast
from engine.ops.norm import batch_norm, batch_norm_inference, group_norm, layer_norm, rms_norm
from engine.tape import set_recording
from engine.tensor import Tensor


class _BatchNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, channel by channel.

    x: [N, C, *size] -> the same. In training mean and (biased) variance are those of the batch,
    and running averages follow them: r = (1 - momentum) * r + momentum * statistic, the variance
    unbiased; momentum=None averages all batches alike. In evaluation the running averages are
    used. Ioffe and Szegedy (2015); buffers as in PyTorch.
    """

    ndims: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: object = "float32",
    ) -> None:
        self.num_features = positive("num_features", num_features)
        self.eps = eps
        self.momentum = momentum
        self.track_running_stats = track_running_stats
        shape = (num_features,)
        self.weight = Parameter(shape, init.ones, dtype=dtype) if affine else None
        self.bias = Parameter(shape, init.zeros, dtype=dtype) if affine else None
        if track_running_stats:
            self.running_mean = Buffer(shape, init.zeros, dtype=dtype)
            self.running_var = Buffer(shape, init.ones, dtype=dtype)
            self.num_batches_tracked = Buffer((), init.zeros, dtype="int64")

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in self.ndims or x.shape[1] != self.num_features:
            self.refuse(f"[N, {self.num_features}, ...] of {_axes(self.ndims)}", x)
        if not self.training and self.track_running_stats:
            return self._infer(x)
        count = x.type.size // self.num_features
        if count < 2:
            self.refuse("more than one value per channel in training", x)
        y, mean, variance = batch_norm(x, self.weight, self.bias, eps=self.eps)
        if self.training and self.track_running_stats:
            with set_recording(False):
                self._follow(mean, variance * (count / (count - 1)))
        return y

    def _infer(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        return batch_norm_inference(x, mean, variance, self.weight, self.bias, eps=self.eps)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        set_buffer(self.num_batches_tracked, self.num_batches_tracked + 1)
        for running, fresh in ((self.running_mean, mean), (self.running_var, variance)):
            share: float | Tensor | None = self.momentum
            if share is None:
                share = 1.0 / cast(self.num_batches_tracked, running.dtype)
            set_buffer(running, running + (fresh - running) * share)

    def describe(self) -> str:
        words = [str(self.num_features)]
        words += [f"eps={self.eps}"] * (self.eps != 1e-5)
        words += [f"momentum={self.momentum}"] * (self.momentum != 0.1)
        words += ["affine=False"] * (self.weight is None)
        words += ["track_running_stats=False"] * (not self.track_running_stats)
        return ", ".join(words)


class BatchNorm1d(_BatchNorm):
    ndims = (2, 3)
    __doc__ = _BatchNorm.__doc__


class BatchNorm2d(_BatchNorm):
    ndims = (4,)
    __doc__ = _BatchNorm.__doc__


class BatchNorm3d(_BatchNorm):
    ndims = (5,)
    __doc__ = _BatchNorm.__doc__


class LayerNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias over the last axes.

    normalized_shape: the shape of those axes, or the length of the last. Ba et al. (2016).
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: object = "float32",
    ) -> None:
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        shape = self.normalized_shape
        self.weight = Parameter(shape, init.ones, dtype=dtype) if elementwise_affine else None
        both = elementwise_affine and bias
        self.bias = Parameter(shape, init.zeros, dtype=dtype) if both else None

    def forward(self, x: Tensor) -> Tensor:
        _check_last(self, x, self.normalized_shape)
        dims = len(self.normalized_shape)
        return layer_norm(x, self.weight, self.bias, dims=dims, eps=self.eps)

    def describe(self) -> str:
        words = [str(self.normalized_shape)]
        words += [f"eps={self.eps}"] * (self.eps != 1e-5)
        words += ["elementwise_affine=False"] * (self.weight is None)
        words += ["bias=False"] * (self.weight is not None and self.bias is None)
        return ", ".join(words)


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axes. Zhang and Sennrich (2019)."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-6,
        elementwise_affine: bool = True,
        *,
        dtype: object = "float32",
    ) -> None:
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        shape = self.normalized_shape
        self.weight = Parameter(shape, init.ones, dtype=dtype) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        _check_last(self, x, self.normalized_shape)
        return rms_norm(x, self.weight, dims=len(self.normalized_shape), eps=self.eps)

    def describe(self) -> str:
        words = [str(self.normalized_shape)]
        words += [f"eps={self.eps}"] * (self.eps != 1e-6)
        words += ["elementwise_affine=False"] * (self.weight is None)
        return ", ".join(words)


class GroupNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, for each example over groups of
    channels: [N, C, *size] -> the same. Wu and He (2018)."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: object = "float32",
    ) -> None:
        self.num_groups = positive("num_groups", num_groups)
        self.num_channels = positive("num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(f"{num_channels} channels do not part into {num_groups} groups")
        self.eps = eps
        shape = (num_channels,)
        self.weight = Parameter(shape, init.ones, dtype=dtype) if affine else None
        self.bias = Parameter(shape, init.zeros, dtype=dtype) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            self.refuse(f"[N, {self.num_channels}, ...]", x)
        return group_norm(x, self.num_groups, self.weight, self.bias, eps=self.eps)

    def describe(self) -> str:
        words = [f"{self.num_groups}, {self.num_channels}"]
        words += [f"eps={self.eps}"] * (self.eps != 1e-5)
        words += ["affine=False"] * (self.weight is None)
        return ", ".join(words)


class _InstanceNorm(GroupNorm):
    """y = (x - mean) / sqrt(variance + eps), for each example and channel.

    x: [N, C, *size] -> the same; `affine` adds a weight and a bias. Ulyanov et al. (2016).
    """

    axes: ClassVar[int]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        affine: bool = False,
        *,
        dtype: object = "float32",
    ) -> None:
        super().__init__(num_features, num_features, eps, affine, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.axes + 2 or prod(x.shape[2:]) < 2:
            self.refuse(f"[N, {self.num_channels}, ...] of {self.axes + 2} axes with space", x)
        return super().forward(x)

    def describe(self) -> str:
        words = [str(self.num_channels)]
        words += [f"eps={self.eps}"] * (self.eps != 1e-5)
        words += ["affine=True"] * (self.weight is not None)
        return ", ".join(words)


class InstanceNorm1d(_InstanceNorm):
    axes = 1
    __doc__ = _InstanceNorm.__doc__


class InstanceNorm2d(_InstanceNorm):
    axes = 2
    __doc__ = _InstanceNorm.__doc__


class InstanceNorm3d(_InstanceNorm):
    axes = 3
    __doc__ = _InstanceNorm.__doc__


def _axes(ndims: tuple[int, ...]) -> str:
    return " or ".join(map(str, ndims)) + " axes"


def _shape(normalized: int | Sequence[int]) -> tuple[int, ...]:
    shape = (normalized,) if isinstance(normalized, int) else tuple(normalized)
    if not shape:
        raise ValueError("normalized_shape needs at least one axis")
    for length in shape:
        positive("normalized_shape", length)
    return shape


def _check_last(layer: Module, x: Tensor, shape: tuple[int, ...]) -> None:
    if x.shape[max(0, x.ndim - len(shape)) :] != shape:
        layer.refuse(f"[..., {', '.join(map(str, shape))}]", x)

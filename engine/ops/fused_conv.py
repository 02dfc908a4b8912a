"""The operation that a convolution becomes with what follows it, see `conv_epilogue`.

It stands in plans, never in the table. `after` names its inputs from the third on: the scale and
the shift of each channel, then `more`, which is added; `relu` comes last. `steady`: see the pass of
that name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.ir.graph import TensorType
from engine.ops.registry import OPS, OpDef

ROLES = ("scale", "shift", "more")
OURS = ("after", "relu", "steady")


def _infer(x: TensorType, weight: TensorType, *_: TensorType, **attrs: Any) -> TensorType:
    result: TensorType = OPS["conv"].infer(x, weight, **_of_conv(attrs))
    return result


def _ref(x: Any, weight: Any, *given: Any, out: Any = None, **attrs: Any) -> Any:
    y = OPS["conv"].ref(x, weight, out=out, **_of_conv(attrs))
    channels = (-1, *(1,) * (y.ndim - 2))
    for role, array in zip(attrs["after"], given, strict=True):
        if role == "scale":
            y *= array.reshape(channels)
        else:
            y += array if role == "more" else array.reshape(channels)
    return np.maximum(y, 0, out=y) if attrs["relu"] else y


def _flops(x: TensorType, weight: TensorType, *given: TensorType, **attrs: Any) -> int:
    found = int(OPS["conv"].flops(x, weight, **_of_conv(attrs)))
    after: int = (len(given) + attrs["relu"]) * _infer(x, weight, **attrs).size
    return found + after


def _of_conv(attrs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attrs.items() if name not in OURS}


FUSED_CONV = OpDef("fused_conv", _infer, _ref, None, _flops, (), True, into=True)

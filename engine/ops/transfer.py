"""Moving a tensor from one device to another."""

from __future__ import annotations

from typing import Any

from engine.device import device_of, full_name, move
from engine.dispatch import single
from engine.ir.graph import TensorType
from engine.ops.registry import op
from engine.tape import Context
from engine.tensor import Tensor


@op("to_device")
class ToDevice:
    def infer(x: TensorType, *, device: str) -> TensorType:
        return x

    def ref(x: Any, *, device: str) -> Any:
        return move(x, device)

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return single("to_device", g, device=device_of(ctx.x.data))

    def flops(x: TensorType, *, device: str) -> int:
        return 0


def to_device(tensor: Tensor, device: str) -> Tensor:
    """The tensor on the device; the gradient finds its way back."""
    name = full_name(device)
    if tensor.is_symbolic or device_of(tensor.data) == name:
        return tensor
    return single("to_device", tensor, device=name)

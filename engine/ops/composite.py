"""The gradient of an operation that is kept whole, through the same thing in plain operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.autograd import grad
from engine.ops.registry import OPS
from engine.tape import Context, TapeNode, recording, set_recording
from engine.tensor import Tensor


def differentiated(
    function: Callable[..., Any], ctx: Context, gradients: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """What flows into the inputs of `ctx` when its operation is computed by `function`."""
    again = recording.get()
    with set_recording(True):
        inputs = [_alias(x, need) for x, need in zip(ctx.inputs, ctx.needs, strict=True)]
        result = function(*inputs, **ctx.attrs)
        outputs = list(result) if isinstance(result, tuple) else [result]
        wanted = [x for x in inputs if x.requires_grad]
        found = iter(grad(outputs, wanted, gradient=gradients, create_graph=again, within=True))
    return tuple(next(found) if x.requires_grad else None for x in inputs)


def _alias(x: Tensor, need: bool) -> Tensor:
    """The same tensor behind an application of its own, at which a sweep over the tape can stop."""
    tensor = Tensor(x.data)
    if need:
        tensor.requires_grad = True
        tensor.node = TapeNode(OPS["reshape"], (x,), {"shape": x.shape}, (x.data,))
    return tensor

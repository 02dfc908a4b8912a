"""Functions with a gradient of the user's own, written on tensors or on bare arrays.

class Cube(Function):
    def forward(ctx, x):
        ctx.save(x)
        return x * x * x

    def backward(ctx, g):
        (x,) = ctx.saved
        return g * 3 * x * x

y = Cube.apply(x)
"""

from __future__ import annotations

from typing import Any

from engine.dispatch import apply, lift
from engine.errors import GradientError
from engine.ops.registry import OpDef, outputs_of
from engine.tape import Context, set_recording
from engine.tensor import Tensor


class Saved:
    """What `forward` keeps for `backward`."""

    def __init__(self) -> None:
        self.saved: tuple[Any, ...] = ()

    def save(self, *values: Any) -> None:
        """Keep values for `backward`; the last call counts."""
        self.saved = values


class Function:
    """Subclass it with `forward(ctx, *tensors, **attrs)` and `backward(ctx, *gradients)`.

    `backward` returns one gradient per tensor given to `forward`, or None. Written in operations
    of the engine it can itself be differentiated and traced.
    """

    @staticmethod
    def forward(ctx: Saved, *inputs: Any, **attrs: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Saved, *gradients: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def apply(cls, *inputs: Tensor, **attrs: Any) -> Any:
        """Run `forward`, and remember `backward` for the tape or the graph."""
        ctx = Saved()
        tensors = lift(inputs)
        with set_recording(False):
            results = outputs_of(vars(cls)["forward"](ctx, *tensors, **attrs))
        return apply(cls._operation(ctx, len(results), len(tensors)), *results, *tensors)

    @classmethod
    def _operation(cls, ctx: Saved, count: int, inputs: int) -> OpDef:
        """(results, inputs) -> results: its gradient for the inputs is `backward`."""

        def first(*given: Any) -> Any:
            return given[:count] if count > 1 else given[0]

        def vjp(_: Context, *gradients: Tensor) -> tuple[Any, ...]:
            found = outputs_of(vars(cls)["backward"](ctx, *gradients))
            if len(found) != inputs:
                raise GradientError(
                    f"{cls.__name__}.backward gave {len(found)} gradients for {inputs} inputs"
                )
            return (None,) * count + found

        return OpDef(cls.__name__, first, first, vjp, lambda *_: 0, (), True)

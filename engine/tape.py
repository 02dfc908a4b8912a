"""The tape of eager autograd: what was applied to what, in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any

from engine.ops.registry import OpDef

if TYPE_CHECKING:
    from engine.tensor import Tensor

recording: ContextVar[bool] = ContextVar("recording", default=True)
_order = count()


class TapeNode:
    """One application. It keeps the arrays of its outputs, not the tensors: no cycles."""

    __slots__ = ("attrs", "datas", "hooks", "inputs", "op", "order")

    def __init__(
        self, op: OpDef, inputs: tuple[Tensor, ...], attrs: dict[str, Any], datas: tuple[Any, ...]
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.datas = datas
        self.hooks: dict[int, list[Any]] = {}  # by output
        self.order = next(_order)


@contextmanager
def set_recording(on: bool) -> Iterator[None]:
    token = recording.set(on)
    try:
        yield
    finally:
        recording.reset(token)


class Context:
    """What a `vjp` rule may read: inputs and attributes by name, `y` / `ys` (outputs), `needs`."""

    __slots__ = ("_named", "attrs", "inputs", "live", "needs", "ys")

    def __init__(
        self,
        op: OpDef,
        inputs: tuple[Tensor, ...],
        attrs: dict[str, Any],
        outputs: tuple[Tensor, ...],
        needs: tuple[bool, ...],
        live: tuple[bool, ...] = (),
    ) -> None:
        self.inputs = inputs
        self.attrs = attrs
        self.ys = outputs
        self.needs = needs  # whose gradient is wanted, per input
        self.live = live  # which outputs have a gradient at all, the others' are zeros
        self._named = dict(zip(op.inputs, inputs, strict=False)) | attrs

    @property
    def y(self) -> Tensor:
        return self.ys[0]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._named[name]
        except KeyError:
            raise AttributeError(name) from None


def no_grad() -> AbstractContextManager[None]:
    """`with no_grad():` nothing is recorded, so nothing computed inside has a gradient."""
    return set_recording(False)


def inference_mode() -> AbstractContextManager[None]:
    """The same; the name says that nothing will be trained."""
    return set_recording(False)

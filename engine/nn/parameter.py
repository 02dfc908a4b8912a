"""Parameters and buffers: tensors that a module owns, and that are a shape until `init`."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from engine import aligned, dtypes
from engine.errors import StateError
from engine.ir.graph import TensorType
from engine.keyed import Draws
from engine.nn.init import Rule, zeros
from engine.tensor import Tensor


class Uninitialised:
    """The data of a parameter before `init`: a shape and a dtype, and no numbers."""

    __slots__ = ("type",)

    def __init__(self, type: TensorType) -> None:
        self.type = type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return self.type.ndim

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise StateError(
            f"a parameter {self.type} has no numbers yet; call init(seed=0) on the model, or "
            "load_state_dict, before using it"
        )

    __array__ = __array_ufunc__ = __array_function__ = _refuse
    __getitem__ = __setitem__ = __len__ = __iter__ = __float__ = __bool__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __neg__ = __pow__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()

    def __repr__(self) -> str:
        return f"uninitialised {self.type}"


class _Leaf(Tensor):
    """A tensor of given type that a rule fills."""

    __slots__ = ("rule",)

    def __init__(self, shape: tuple[int, ...], rule: Rule, dtype: object) -> None:
        kind = TensorType(tuple(int(n) for n in shape), dtypes.dtype(dtype))
        super().__init__(Uninitialised(kind))
        self.rule = rule

    @property
    def is_initialised(self) -> bool:
        return not isinstance(self.data, Uninitialised)

    def init(self, seed: int, name: str) -> None:
        """Fill by the rule, drawing from Philox keyed by the seed and the name."""
        self.data = aligned.copy(self.rule(self.shape, Draws(seed, name)), self.dtype)
        self.grad = None

    def change_dtype(self, dtype: np.dtype) -> None:
        if self.is_initialised:
            self.data = self.data.astype(dtype)
        else:
            self.data = Uninitialised(TensorType(self.shape, dtype))
        self.grad = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.data!r})"


class Parameter(_Leaf):
    """A learned tensor. `Parameter((4, 3), init.kaiming_uniform())`."""

    __slots__ = ()

    def __init__(self, shape: tuple[int, ...], rule: Rule, *, dtype: object = "float32") -> None:
        super().__init__(shape, rule, dtype)
        self.requires_grad = True


class Buffer(_Leaf):
    """State that is not learned, such as running statistics.

    One that is not `persistent` is left out of `state_dict`.
    """

    __slots__ = ("persistent",)

    def __init__(
        self,
        shape: tuple[int, ...],
        rule: Rule = zeros,
        *,
        dtype: object = "float32",
        persistent: bool = True,
    ) -> None:
        super().__init__(shape, rule, dtype)
        self.persistent = persistent

"""The operators of a tensor: arithmetic, comparison, logic, `@` and indexing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import engine
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.tensor import Tensor


def call(function: Callable[..., Any], *inputs: Any, **options: Any) -> Tensor:
    """The function on a tensor that the type checker knows only as part of one."""
    result: Tensor = function(*inputs, **options)
    return result


class Operators:
    """Every operator is the function of the same name in `engine`."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Tensor:
        return call(engine.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return call(engine.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return call(engine.sub, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return call(engine.sub, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return call(engine.mul, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return call(engine.mul, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return call(engine.div, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return call(engine.div, other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return call(engine.floor_div, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return call(engine.floor_div, other, self)

    def __mod__(self, other: Any) -> Tensor:
        return call(engine.remainder, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return call(engine.remainder, other, self)

    def __pow__(self, other: Any) -> Tensor:
        return call(engine.pow, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return call(engine.pow, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return call(engine.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return call(engine.matmul, other, self)

    def __neg__(self) -> Tensor:
        return call(engine.neg, self)

    def __pos__(self) -> Tensor:
        return self  # type: ignore[return-value]

    def __abs__(self) -> Tensor:
        return call(engine.abs, self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return call(engine.eq, self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return call(engine.ne, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return call(engine.lt, self, other)

    def __le__(self, other: Any) -> Tensor:
        return call(engine.le, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return call(engine.gt, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return call(engine.ge, self, other)

    def __and__(self, other: Any) -> Tensor:
        return call(engine.bitwise_and, self, other)

    def __or__(self, other: Any) -> Tensor:
        return call(engine.bitwise_or, self, other)

    def __xor__(self, other: Any) -> Tensor:
        return call(engine.bitwise_xor, self, other)

    def __invert__(self) -> Tensor:
        return call(engine.bitwise_not, self)

    def __lshift__(self, other: Any) -> Tensor:
        return call(engine.shift_left, self, other)

    def __rshift__(self, other: Any) -> Tensor:
        return call(engine.shift_right, self, other)

    def __getitem__(self, key: Any) -> Tensor:
        return call(engine.getitem, self, key)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise EngineError(
            "a tensor does not change in place, or its gradient would be wrong; use "
            "engine.where(mask, value, x), engine.scatter(x, axis, index, value), or "
            "x.assign_(other) to replace the numbers of a buffer"
        )

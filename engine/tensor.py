"""The tensor: an array of numbers, or a symbol that stands for one while a program is traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import dtypes
from engine.errors import DtypeError, GradientError, ShapeError, TracingError
from engine.ir.graph import TensorType, Value
from engine.methods import Methods
from engine.operators import Operators

if TYPE_CHECKING:
    from engine.tape import TapeNode

Hook = Callable[["Tensor"], "Tensor | None"]


class Tensor(Operators, Methods):
    """An n-dimensional array with a gradient.

    `data` is a NumPy array, a CuPy array, or (while tracing) a `Value` of a graph.
    """

    __slots__ = ("__weakref__", "data", "grad", "hooks", "index", "node", "requires_grad")
    __array_priority__ = 100
    __array_ufunc__ = None  # array + tensor then asks the tensor

    def __init__(self, data: Any, *, requires_grad: bool = False) -> None:
        self.data = data
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.node: TapeNode | None = None
        self.index = 0
        self.hooks: list[Hook] | None = None

    @property
    def type(self) -> TensorType:
        data = self.data
        return data.type if isinstance(data, Value) else TensorType(data.shape, data.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        data = self.data
        return data.type.shape if isinstance(data, Value) else data.shape

    @property
    def dtype(self) -> np.dtype:
        data = self.data
        return data.type.dtype if isinstance(data, Value) else data.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return self.type.size

    @property
    def device(self) -> str:
        from engine.device import device_of

        self._refuse_symbol("its device")
        return device_of(self.data)

    @property
    def is_symbolic(self) -> bool:
        return isinstance(self.data, Value)

    @property
    def is_leaf(self) -> bool:
        return self.node is None

    def _refuse_symbol(self, wanted: str) -> None:
        if isinstance(self.data, Value):
            raise TracingError(
                f"{wanted} was asked of {self.data} while tracing, when only its shape is known; "
                "choose with engine.where, or compute it outside the traced function"
            )

    def numpy(self) -> np.ndarray:
        """The numbers as a NumPy array; TracingError while tracing, when there are none yet."""
        self._refuse_symbol("a number")
        get = getattr(self.data, "get", None)
        return np.asarray(self.data if get is None else get())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        self._refuse_symbol("its memory")
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        self._refuse_symbol("its memory")
        return self.data.__dlpack_device__()

    def item(self) -> Any:
        """The number of a tensor that has just one."""
        if self.size != 1:
            raise ShapeError(f"item: {self.type} has {self.size} elements, not one")
        return self.numpy().item()

    def tolist(self) -> Any:
        return self.numpy().tolist()

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("a tensor without axes cannot be walked through")
        return iter(self.unbind(0))

    def __bool__(self) -> bool:
        self._refuse_symbol("a truth value")
        if self.size != 1:
            raise ShapeError(f"the truth of {self.type} is unclear; use .any() or .all()")
        return bool(self.numpy())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if dtypes.is_float(self.dtype):
            raise DtypeError(f"{self.type} holds floats; an index is an integer")
        return int(self.item())

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __repr__(self) -> str:
        asks = ", requires_grad=True" if self.requires_grad else ""
        if isinstance(self.data, Value):
            return f"Tensor({self.data}{asks})"
        numbers = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=100)
        return f"Tensor({numbers}, dtype={self.dtype.name}{asks})"

    def requires_grad_(self, on: bool = True) -> Tensor:
        """Ask for a gradient (or no longer). Only floats have one."""
        if on and not dtypes.is_float(self.dtype):
            raise GradientError(f"{self.type} holds no floats, so it has no gradient")
        self.requires_grad = on
        return self

    def backward(self, gradient: Tensor | None = None, *, create_graph: bool = False) -> None:
        """Add d self / d leaf to `.grad` of every leaf that asked for one."""
        from engine.autograd import backward

        backward(self, gradient, create_graph=create_graph)

    def register_hook(self, hook: Hook) -> Callable[[], None]:
        """Call `hook` with the gradient of this tensor; what it returns takes the gradient's place.

        Returns a function that removes the hook.
        """
        if not self.requires_grad:
            raise GradientError("a hook waits for a gradient; the tensor does not ask for one")
        if self.hooks is None:
            self.hooks = [] if self.node is None else self.node.hooks.setdefault(self.index, [])
        hooks = self.hooks
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def detach(self) -> Tensor:
        """The same numbers, cut off from the tape."""
        if self.is_symbolic:  # a graph that is differentiated later must see the cut
            from engine.dispatch import single

            return single("detach", self)
        return Tensor(self.data)

    def clone(self) -> Tensor:
        """A copy of the numbers; the gradient passes through."""
        from engine.dispatch import single

        return single("copy", self)

    def contiguous(self) -> Tensor:
        """The tensor with its numbers in row-major order in memory."""
        from engine.ir.layout import Layouts

        data = self.data
        known = Layouts().is_contiguous(data) if self.is_symbolic else data.flags.c_contiguous
        return self if known else self.clone()

    def to(self, target: Any) -> Tensor:
        """The tensor with another dtype ("float64") or on another device ("cuda:0", "cpu")."""
        from engine.ops.elementwise import cast
        from engine.ops.transfer import to_device

        is_device = isinstance(target, str) and target.partition(":")[0] in ("cpu", "cuda")
        return to_device(self, target) if is_device else cast(self, target)

    def astype(self, dtype: Any) -> Tensor:
        """The tensor with another dtype."""
        return self.to(dtypes.dtype(dtype))

    def assign_(self, other: Any) -> Tensor:
        """Take over the numbers (or the symbol) of `other`, of the same shape and dtype.

        For buffers and parameters, between steps. What was computed before keeps the old numbers.
        """
        source = other if isinstance(other, Tensor) else Tensor(np.asarray(other, self.dtype))
        if source.shape != self.shape or source.dtype != self.dtype:
            raise ShapeError(f"assign_: {source.type} does not fit a tensor of {self.type}")
        if self.node is not None:
            raise GradientError("assign_: the tensor was computed; only leaves can be assigned")
        self.data = source.data
        return self

"""How an operation is applied: to numbers at once, or to symbols by writing down a node."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

from engine import dtypes
from engine.backend.modules import array_module
from engine.errors import DeviceError, DtypeError, TracingError
from engine.ir.graph import Graph, TensorType, Value
from engine.ops.registry import OPS, OpDef, outputs_of
from engine.tape import TapeNode, recording
from engine.tensor import Tensor

#: The innermost graph being traced; None outside tracing. Only for operations without inputs.
tracing: ContextVar[Graph | None] = ContextVar("tracing", default=None)


def apply(name: str | OpDef, *inputs: Any, **attrs: Any) -> Any:
    """Apply an operation to tensors (or numbers and arrays, which become tensors)."""
    op = OPS[name] if isinstance(name, str) else name
    tensors = lift(inputs)
    if op.promotes:
        tensors = _to_common_dtype(op, tensors)
    types = outputs_of(op.infer(*[t.type for t in tensors], **attrs))
    datas = [t.data for t in tensors]
    graph = tracing.get() if not datas else None
    for data in datas:
        if isinstance(data, Value):
            graph = data.graph
            break
    if graph is None:
        results = execute(op, datas, attrs, types)
    else:
        results = graph.emit(op, [as_value(graph, d) for d in datas], attrs, types)
    outputs = tuple([Tensor(d) for d in results])
    if op.vjp is not None and recording.get() and any(t.requires_grad for t in tensors):
        _record(op, tensors, attrs, outputs)
    return outputs if len(outputs) > 1 else outputs[0]


def execute(
    op: OpDef, datas: list[Any], attrs: dict[str, Any], types: tuple[TensorType, ...]
) -> tuple[Any, ...]:
    """Run `ref` as a planned launch would: what is no view gets memory of its own, in C order.

    So later operations see the same strides, and give the same bits, in both.
    """
    if op.view:
        return outputs_of(op.ref(*datas, **attrs))  # of an array a view, never a bare number
    xp = array_module(*datas)
    if xp is not np:
        datas = [_beside(d, xp, op) for d in datas]
    with np.errstate(all="ignore"):  # infinities and NaN are results like others
        if not op.into:
            return tuple([xp.asarray(d, order="C") for d in outputs_of(op.ref(*datas, **attrs))])
        outs = tuple([xp.empty(t.shape, t.dtype) for t in types])
        op.ref(*datas, **attrs, out=outs if len(outs) > 1 else outs[0])
    return outs


def _beside(data: Any, xp: Any, op: OpDef) -> Any:
    """An array for an operation on a GPU: a single number comes along, the others must be there."""
    if not isinstance(data, np.ndarray):
        return data
    if data.size > 1 and op.name != "to_device":
        raise DeviceError(
            f"{op.name}: an array of shape {list(data.shape)} lies on the CPU, the others on a "
            'GPU; move it with .to("cuda")'
        )
    return xp.asarray(data)


def single(name: str | OpDef, *inputs: Any, **attrs: Any) -> Tensor:
    """`apply` for operations with one output."""
    output: Tensor = apply(name, *inputs, **attrs)
    return output


def as_tensor(value: Any) -> Tensor:
    """A tensor of a number, a list or an array; tensors are left as they are."""
    return lift((value,))[0]


def lift(inputs: tuple[Any, ...]) -> list[Tensor]:
    """Tensors of the inputs; a Python number takes the dtype that its neighbours ask for."""
    for x in inputs:
        if not isinstance(x, Tensor):
            break
    else:
        return list(inputs)
    others = [x.dtype for x in inputs if isinstance(x, Tensor | np.ndarray | np.generic)]
    arrays = [x.data if isinstance(x, Tensor) else _array(x, others) for x in inputs]
    xp = array_module(*arrays)
    return [
        x if isinstance(x, Tensor) else Tensor(a if xp is np else xp.asarray(a))
        for x, a in zip(inputs, arrays, strict=True)
    ]


def _array(value: Any, others: list[np.dtype]) -> Any:
    if isinstance(value, bool | int | float):
        return np.asarray(value, dtype=dtypes.of_scalar(value, others))
    if hasattr(value, "__array__") or hasattr(value, "__cuda_array_interface__"):
        return np.asarray(value) if isinstance(value, np.generic) else value
    if isinstance(value, list | tuple):
        array = np.asarray(value)
        return array.astype(dtypes.float32) if array.dtype == np.float64 else array
    raise DtypeError(f"a tensor was expected, not {type(value).__name__}")


def as_value(graph: Graph, data: Any) -> Value:
    if not isinstance(data, Value):
        return graph.constant(data)
    if data.graph is not graph:
        raise TracingError("tensors of two different traces meet in one operation")
    return data


def _to_common_dtype(op: OpDef, tensors: list[Tensor]) -> list[Tensor]:
    free = [t.dtype for place, t in enumerate(tensors) if place not in op.held]
    if not free:
        return tensors
    common = free[0]
    for kind in free[1:]:
        if kind is not common:
            common = dtypes.promote(common, kind)
    if op.floats and not dtypes.is_float(common):
        common = dtypes.float32
    if not any(kind is not common for kind in free):
        return tensors
    return [
        t if t.dtype == common or place in op.held else apply("cast", t, dtype=common.name)
        for place, t in enumerate(tensors)
    ]


def _record(
    op: OpDef, tensors: list[Tensor], attrs: dict[str, Any], outputs: tuple[Tensor, ...]
) -> None:
    floats = [dtypes.is_float(t.dtype) for t in outputs]
    if not any(floats):
        return
    node = TapeNode(op, tuple(tensors), attrs, tuple(t.data for t in outputs))
    for index, output in enumerate(outputs):
        if floats[index]:
            output.requires_grad, output.node, output.index = True, node, index


def type_of(data: Any) -> TensorType:
    return data.type if isinstance(data, Value) else TensorType(tuple(data.shape), data.dtype)

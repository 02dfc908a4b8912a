"""Tracing: names, structure, state, and what cannot be traced."""

from collections import namedtuple

import numpy as np
import pytest

import engine
from engine import nn
from engine.errors import TracingError
from engine.ir.graph import TensorType
from engine.ir.trace import abstract, bind, trace
from engine.tensor import Tensor

F4 = np.dtype("float32")


def f4(*shape: int) -> TensorType:
    return TensorType(shape, F4)


def test_inputs_are_named_by_arguments_and_keys() -> None:
    graph = trace(
        lambda batch, pair, x: batch["a"] + pair[0] + pair[1] + x,
        {"a": f4(2), "b": f4(3)},
        (f4(2), f4(2)),
        f4(2),
    )
    assert [value.name for value in graph.inputs] == ["batch.a", "batch.b", "pair.0", "pair.1", "x"]


def test_outputs_keep_names_and_nesting() -> None:
    Pair = namedtuple("Pair", "left right")

    def f(x: Tensor) -> object:
        return {"loss": x.sum(), "more": [x, (x * 2, None)], "pair": Pair(x, x)}

    graph = trace(f, f4(2))
    assert graph.names == ["loss", "more.0", "more.1.0", "pair.left", "pair.right"]
    types = abstract(f, f4(2))
    assert types == {"loss": f4(), "more": [f4(2), (f4(2), None)], "pair": Pair(f4(2), f4(2))}
    assert isinstance(types["pair"], Pair)


def test_numbers_and_none_pass_through() -> None:
    assert abstract(
        lambda x, n, flag: x.sum(0) if flag is None else x * n, f4(2, 3), 2, None
    ) == f4(3)


def test_outputs_that_do_not_depend_on_inputs_are_constants() -> None:
    graph = trace(lambda x: (x, engine.tensor([1.0, 2.0]) * 2, np.ones(3)), f4(2))
    assert [graph.is_constant(value) for value in graph.outputs] == [False, True, True]


def test_an_uninitialised_module_has_an_abstract_result() -> None:
    model = nn.Sequential(nn.Linear(10, 7), nn.ReLU(), nn.Linear(7, 3))
    assert abstract(model, f4(5, 10)) == f4(5, 3)
    assert not any(parameter.is_initialised for parameter in model.parameters())


def test_draws_have_an_abstract_result_without_a_stream() -> None:
    def f(x: Tensor) -> Tensor:
        return engine.cat([engine.dropout(x, 0.5), engine.rand(2, 3)])

    assert abstract(f, f4(5, 3)) == f4(7, 3)
    assert abstract(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5)), f4(2, 3)) == f4(2, 4)


def test_parameters_are_inputs_by_name() -> None:
    graph = trace(nn.Linear(4, 3), f4(2, 4))
    assert [value.name for value in graph.inputs] == ["x", "weight", "bias"]


def test_buffers_that_are_given_new_values_are_further_outputs() -> None:
    model = nn.BatchNorm1d(3).init(0)
    before = {name: buffer.numpy().copy() for name, buffer in model.named_buffers()}
    graph = trace(model, f4(8, 3))
    names = [graph.inputs[source].name for source in graph.updates]
    assert {"running_mean", "running_var"} <= set(names)
    for source, target in graph.updates.items():
        assert graph.inputs[source].type == graph.outputs[target].type
    after = {name: buffer.numpy() for name, buffer in model.named_buffers()}
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_tensors_get_their_data_back_after_an_error() -> None:
    x = engine.tensor([1.0])
    data = x.data
    with pytest.raises(ZeroDivisionError), bind([x], [None]):
        _ = 1 / 0
    assert x.data is data


def test_a_module_gets_its_numbers_back_after_a_trace_that_fails() -> None:
    model = nn.Linear(4, 3).init(0)
    with pytest.raises(engine.errors.ShapeError):
        trace(model, f4(2, 5))
    assert isinstance(model.weight.data, np.ndarray)


@pytest.mark.parametrize(
    "asking",
    [
        lambda x: 1.0 if x.sum() > 0 else 2.0,
        lambda x: x.sum().item(),
        lambda x: float(x.sum()),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
        lambda x: np.exp(x.data),
        lambda x: int(x.argmax()),
        lambda x: range(x.argmax()),
    ],
)
def test_asking_a_symbol_for_a_number_is_refused(asking: object) -> None:
    with pytest.raises(TracingError, match=r"while tracing.*(engine\.where|operations)"):
        trace(asking, f4(3))  # type: ignore[arg-type]


def test_a_symbol_does_not_outlive_its_trace() -> None:
    kept: list[Tensor] = []
    trace(lambda x: kept.append(x * 2) or x, f4(3))
    with pytest.raises(TracingError, match="has ended"):
        kept[0] + 1.0


def test_symbols_of_two_traces_do_not_mix() -> None:
    def outer(x: Tensor) -> Tensor:
        return trace(lambda y: x + y, f4(3)) and x

    with pytest.raises(TracingError, match="two different traces"):
        trace(outer, f4(3))


def test_other_results_than_tensors_are_refused() -> None:
    with pytest.raises(TracingError, match=r"made\.1 is a set|1 is a set"):
        trace(lambda x: [x, {1}], f4(3))


def test_nodes_remember_the_module_that_asked_for_them() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Tanh()))
    graph = trace(model, f4(2, 4))
    assert [node.origin.scope for node in graph.nodes] == ["0", "1.0"]


def test_the_same_array_is_one_constant() -> None:
    table = engine.tensor([1.0, 2.0, 3.0])
    graph = trace(lambda x: (x + table) * table, f4(3))
    assert len(graph.constants) == 1

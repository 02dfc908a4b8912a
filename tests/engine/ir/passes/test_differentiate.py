"""Gradients of graphs against the tape, to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings

import engine
from engine.autograd import grad
from engine.errors import GradientError
from engine.ir.graph import TensorType
from engine.ir.passes.differentiate import differentiate, gradients
from engine.ir.passes.simplify import simplify
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p


def by_tape(function: object, arrays: list[np.ndarray]) -> list[np.ndarray]:
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    (output,) = function(*tensors)  # type: ignore[operator]
    if not output.requires_grad:
        return [output.numpy(), *[np.zeros_like(a) for a in arrays]]
    found = grad(output, tensors)
    return [
        output.numpy(),
        *[np.zeros_like(a) if g is None else g.numpy() for a, g in zip(arrays, found, strict=True)],
    ]


@settings(max_examples=100, deadline=None)
@given(p.programs, p.inputs)
def test_the_graph_agrees_with_the_tape(program: p.Program, shapes: list[tuple[int, ...]]) -> None:
    arrays = p.arrays(shapes)
    function = p.function(program, scalar=True)
    expected = by_tape(function, arrays)
    graph = differentiate(trace(function, *p.types(shapes)))
    p.same(p.interpret(graph, arrays), expected)
    p.same(p.interpret(simplify(graph), arrays), expected)


@settings(max_examples=40, deadline=None)
@given(p.programs.filter(lambda program: len(program) < 6), p.inputs)
def test_second_derivatives_agree_with_the_tape(
    program: p.Program, shapes: list[tuple[int, ...]]
) -> None:
    arrays = p.arrays(shapes)
    function = p.function(program, scalar=True)

    def steepness(*tensors: Tensor) -> list[Tensor]:
        (output,) = function(*tensors)
        found = grad(output, tensors, create_graph=True)
        total = output * 0.5
        for gradient in found:
            if gradient is not None:
                total = total + (gradient * gradient).sum()
        return [total]

    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    (total,) = steepness(*tensors)
    found = [g if g is None else g.numpy() for g in grad(total, tensors)]
    expected = [np.zeros_like(a) if g is None else g for a, g in zip(arrays, found, strict=True)]

    graph = trace(function, *p.types(shapes))

    def again(*symbols: Tensor) -> list[Tensor]:
        (output,) = function(*symbols)
        first = gradients(output.data, [s.data for s in symbols])
        total = output * 0.5
        for value in first:
            if value is not None:
                total = total + (Tensor(value) * Tensor(value)).sum()
        return [total]

    graph = differentiate(trace(again, *p.types(shapes)))
    p.same(p.interpret(graph, arrays)[1:], expected)
    p.same(p.interpret(simplify(graph), arrays)[1:], expected)


def test_the_pass_applies_to_its_own_result() -> None:
    cube = trace(lambda x: (x * x * x).sum(), TensorType((3,), np.dtype("float64")))
    slope = differentiate(cube)
    slope.outputs = [*slope.outputs, slope.outputs[1]]
    summed = trace(lambda x: (x * x * x).sum(), TensorType((), np.dtype("float64")))
    twice = differentiate(differentiate(summed), output=1)
    x = np.asarray(2.0)
    p.same(p.interpret(twice, [x]), [np.asarray(n) for n in (8.0, 12.0, 12.0)])


def test_an_input_without_a_part_gets_zeros() -> None:
    graph = differentiate(trace(lambda x, y: x.sum(), *p.types([(2,), (3,)])))
    p.same(
        p.interpret(graph, p.arrays([(2,), (3,)]))[1:],
        [np.ones(2, "float32"), np.zeros(3, "float32")],
    )


def test_no_gradient_passes_where_none_was_recorded() -> None:
    def f(x: Tensor) -> Tensor:
        with engine.no_grad():
            held = x * x
        return (x * held + x.detach() * x).sum()

    graph = differentiate(trace(f, *p.types([(3,)])))
    x = np.asarray([1, 2, 3], "float32")
    p.same(p.interpret(graph, [x])[1:], [x * x + x])


def test_gradients_for_chosen_inputs_only() -> None:
    graph = differentiate(trace(lambda x, y: (x * y).sum(), *p.types([(2,), (2,)])), wrt=[1])
    assert graph.names == ["", "d y"]


def test_the_gradient_of_an_intermediate_value() -> None:
    def f(x: Tensor) -> list[Tensor]:
        y = x * 3.0
        (slope,) = gradients((y * y).sum().data, [y.data])
        assert slope is not None
        return [Tensor(slope)]

    x = np.asarray([1.0, 2.0], "float32")
    p.same(p.interpret(trace(f, *p.types([(2,)])), [x]), [6 * x])


def test_only_a_floating_scalar_has_gradients() -> None:
    with pytest.raises(GradientError, match="floating scalar"):
        differentiate(trace(lambda x: x * 2, *p.types([(2,)])))
    with pytest.raises(GradientError, match="floating scalar"):
        differentiate(trace(lambda x: x.argmax(), *p.types([(2,)])))


def test_backward_nodes_remember_the_module_of_the_forward_node() -> None:
    from engine import nn

    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    held = dict(model.named_parameters())
    graph = trace(lambda x: model(x).sum(), *p.types([(4, 3)]), bound=held)
    found = {
        (node.origin.phase, node.origin.scope)
        for node in differentiate(graph).nodes
        if node.origin.scope
    }
    assert found == {("forward", "0"), ("forward", "1"), ("backward", "0"), ("backward", "1")}


def test_a_long_chain_needs_no_deep_stack() -> None:
    def f(x: Tensor) -> Tensor:
        for _ in range(3000):
            x = x * 1.0001
        return x.sum()

    graph = differentiate(trace(f, *p.types([(2,)])))
    assert len(graph.nodes) > 6000
    interpreted = p.interpret(simplify(graph), [np.ones(2, "float32")])
    assert interpreted[1] == pytest.approx(np.full(2, 1.0001**3000), rel=1e-3)

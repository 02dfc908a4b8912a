"""Memory planning: nothing is written over before its last read, and little is wasted."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from engine.compile.interpreter import Interpreter
from engine.compile.plan import make_plan
from engine.errors import GraphError
from engine.ir.graph import Graph, TensorType
from engine.ir.passes.differentiate import differentiate
from engine.ir.passes.memory import ARENA, Place, plan_memory
from engine.ir.passes.overlap import check_memory
from engine.ir.trace import trace
from engine.ops.pointwise import pointwise
from engine.tensor import Tensor
from tests.engine.ir import programs as p

_swap = pointwise(lambda x, y: (y, x), name="swap_for_memory_tests")


def updating(program: p.Program, count: int, chosen: list[int]) -> object:
    """A function that gives its inputs new values, picked from what the program computes."""

    def run(*tensors: Tensor) -> list[Tensor]:
        made = p.function(program)(*tensors)
        pool = [*tensors, *made]
        news = []
        for index, tensor in enumerate(tensors):
            fitting = [t for t in pool if t.shape == tensor.shape and t.dtype == tensor.dtype]
            news.append(fitting[chosen[index] % len(fitting)])
        return [*made, *news]

    return run


@settings(max_examples=250, deadline=None)
@given(p.programs, p.inputs, st.lists(st.integers(0, 9), min_size=3, max_size=3), st.integers(0, 7))
def test_updates_in_place_read_old_values_only(
    program: p.Program, shapes: list[tuple[int, ...]], chosen: list[int], resident: int
) -> None:
    function = updating(program, len(shapes), chosen)
    arrays = p.arrays(shapes)
    expected = [t.numpy() for t in function(*map(Tensor, arrays))]  # type: ignore[operator]
    graph = trace(function, *p.types(shapes))  # type: ignore[arg-type]
    first = len(graph.outputs) - len(shapes)
    graph.updates = {index: first + index for index in range(len(shapes))}
    outside = [index for index in range(len(shapes)) if resident >> index & 1]
    check_memory(graph, plan_memory(graph, outside))
    held = {index: arrays[index].copy() for index in outside}
    runner = Interpreter(make_plan(graph, outside), held)
    found = dict(zip(_kept(graph), runner.run(arrays), strict=True))
    p.same([found[index] for index in range(first)], expected[:first])
    p.same([held[index] for index in outside], [expected[first + index] for index in outside])


def _kept(graph: Graph) -> list[int]:
    return [i for i in range(len(graph.outputs)) if i not in graph.updates.values()]


@settings(max_examples=100, deadline=None)
@given(p.programs, p.inputs)
def test_values_that_live_together_do_not_share_memory(
    program: p.Program, shapes: list[tuple[int, ...]]
) -> None:
    graph = differentiate(trace(p.function(program, scalar=True), *p.types(shapes)))
    memory = plan_memory(graph)
    check_memory(graph, memory)
    assert memory.live <= memory.size + 64
    assert all(
        place.offset < max(memory.size, 1) or place.buffer for place in memory.places.values()
    )


def places(function: object, *shapes: tuple[int, ...]) -> tuple[Graph, list[Place]]:
    graph = trace(function, *p.types(shapes))  # type: ignore[arg-type]
    memory = plan_memory(graph)
    return graph, [memory.places[node.outputs[0]] for node in graph.nodes]


def test_a_chain_of_pointwise_operations_needs_one_place() -> None:
    _, found = places(lambda x: x.tanh().exp().relu(), (4, 4))
    assert len({place.offset for place in found}) == 1


def test_an_input_that_is_read_again_is_not_written_over() -> None:
    def f(x: Tensor) -> Tensor:
        y = x.tanh()
        return y.exp() + y

    _, (tanh, exp, add) = places(f, (4, 4))
    assert tanh.offset != exp.offset
    assert add.offset in (tanh.offset, exp.offset)


def test_an_operation_that_is_not_pointwise_never_writes_over_its_input() -> None:
    _, (exp, matmul) = places(lambda x: x.exp() @ x, (4, 4))
    assert exp.offset != matmul.offset


def test_a_view_of_a_dying_value_keeps_it_from_being_written_over() -> None:
    def f(x: Tensor) -> Tensor:
        y = x.exp()
        return y + y.transpose(0, 1)

    _, (exp, transpose, add) = places(f, (4, 4))
    assert transpose.offset == exp.offset
    assert transpose.strides == (4, 16)
    assert add.offset != exp.offset


def test_memory_of_dead_values_is_used_again() -> None:
    def f(x: Tensor) -> Tensor:
        for _ in range(20):
            x = (x @ x).softmax(-1)
        return x

    graph = trace(f, *p.types([(16, 16)]))
    assert plan_memory(graph).size <= 3 * 16 * 16 * 4


def test_a_parameter_is_updated_in_place_after_its_last_read() -> None:
    def step(w: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        y = x @ w
        return y.sum(), w - w * 0.1

    graph = trace(step, *p.types([(3, 3), (3, 3)]))
    graph.updates = {0: 1}
    memory = plan_memory(graph, [0])
    assert memory.copies == []
    assert memory.outputs[1] == memory.places[graph.inputs[0]]


def test_a_parameter_that_is_read_after_its_update_is_copied_at_the_end() -> None:
    def step(w: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        new = w * 0.9
        return (x @ w).sum(), new

    graph = trace(step, *p.types([(3, 3), (3, 3)]))
    graph.updates = {0: 1}
    memory = plan_memory(graph, [0])
    assert [target.buffer for _, _, target in memory.copies] == [1]
    check_memory(graph, memory)


def test_a_parameter_is_not_written_by_an_operation_that_still_reads_it() -> None:
    graph = trace(lambda w: w @ w, *p.types([(4, 4)]))
    graph.updates = {0: 0}
    (old,) = p.arrays([(4, 4)])
    held = {0: old.copy()}
    plan = make_plan(graph, [0])
    check_memory(graph, plan_memory(graph, [0]))
    assert [launch.name for launch in plan.launches] == ["matmul", "copy"]
    Interpreter(plan, held).run([])
    p.same([held[0]], [old @ old])


def test_an_operation_that_passes_inputs_on_does_not_write_over_them() -> None:
    def swap(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return _swap(x.exp(), y.exp())  # type: ignore[no-any-return]

    graph = trace(swap, *p.types([(5,), (5,)]))
    one, other = p.arrays([(5,), (5,)])
    p.same(p.interpret(graph, [one, other]), [np.exp(other), np.exp(one)])


def test_two_parameters_can_change_places() -> None:
    graph = trace(lambda a, b: (b, a), *p.types([(3,), (3,)]))
    graph.updates = {0: 0, 1: 1}
    one, other = p.arrays([(3,), (3,)])
    held = {0: one.copy(), 1: other.copy()}
    Interpreter(make_plan(graph, [0, 1]), held).run([])
    p.same([held[0], held[1]], [other, one])


def test_an_output_may_be_the_old_value_of_a_parameter() -> None:
    graph = trace(lambda w: (w, w * 2.0), *p.types([(3,)]))
    graph.updates = {0: 1}
    (old,) = p.arrays([(3,)])
    held = {0: old.copy()}
    (found,) = Interpreter(make_plan(graph, [0]), held).run([])
    p.same([found, held[0]], [old, old * np.float32(2)])


def test_several_outputs_of_one_operation_are_written_over_its_inputs() -> None:
    from engine.optim.adam import _adam

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        return _adam(*tensors)  # type: ignore[no-any-return]

    graph = trace(step, *p.types([(5,), (5,), (5,), (5,), (), ()]))
    graph.updates = {0: 0, 2: 1, 3: 2}
    memory = plan_memory(graph, [0, 2, 3])
    check_memory(graph, memory)
    assert memory.copies == []
    assert memory.size < 5 * 64  # only what is fed in


def broken(graph: Graph, node: int, place: Place) -> None:
    memory = plan_memory(graph)
    memory.places[graph.nodes[node].outputs[0]] = place
    check_memory(graph, memory)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (Place(ARENA, 0, (16, 4)), "over its input"),
        (Place(ARENA, 4, (16, 4)), "over its input"),
        (Place(ARENA, 132, (16, 4)), "outside|aligned"),
        (Place(ARENA, 1 << 20, (16, 4)), "outside"),
        (Place(ARENA, 64, (4, 16)), "strides"),
    ],
)
def test_a_bad_plan_is_refused(place: Place, message: str) -> None:
    graph = trace(lambda x: x.softmax(0) + x, *p.types([(4, 4)]))
    with pytest.raises(GraphError, match=message):
        broken(graph, 0, place)


def test_a_plan_that_reads_what_is_gone_is_refused() -> None:
    def f(x: Tensor) -> Tensor:
        y, z = x.softmax(0), x.softmax(1)
        return y @ z

    graph = trace(f, *p.types([(4, 4)]))
    memory = plan_memory(graph)
    first, second = (node.outputs[0] for node in graph.nodes[:2])
    memory.places[second] = memory.places[first]
    with pytest.raises(GraphError, match="written over"):
        check_memory(graph, memory)


def test_a_plan_that_writes_over_a_constant_is_refused() -> None:
    table = np.ones((4, 4), "float32")
    graph = trace(lambda x: (x + Tensor(table)).softmax(0), *p.types([(4, 4)]))
    memory = plan_memory(graph)
    (constant,) = graph.constants
    memory.places[graph.nodes[1].outputs[0]] = memory.places[constant]
    with pytest.raises(GraphError, match="not updated"):
        check_memory(graph, memory)


def test_empty_tensors_take_no_room() -> None:
    graph = trace(lambda x: x.exp() * 2.0, TensorType((0, 3), np.dtype("float32")))
    assert plan_memory(graph).size == 0
    p.same(p.interpret(graph, [np.zeros((0, 3), "float32")]), [np.zeros((0, 3), "float32")])

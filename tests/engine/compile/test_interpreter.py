"""The interpreter against eager execution: every operation and every gradient, to the bit."""

from typing import Any

import numpy as np
import pytest

import engine
from engine import aligned, dtypes
from engine.autograd import grad
from engine.compile.interpreter import Interpreter, Scratch
from engine.compile.plan import make_plan
from engine.dispatch import apply
from engine.errors import GraphError
from engine.ir.graph import TensorType
from engine.ir.passes.differentiate import gradients
from engine.ir.passes.simplify import simplify
from engine.ir.trace import trace
from engine.ops.registry import OPS, outputs_of
from engine.tensor import Tensor
from engine.testing.samples import samples
from tests.engine.ir import programs as p

F4 = np.dtype("float32")
CASES = [
    pytest.param(name, arrays, attrs, id=f"{name}-{index}")
    for name, pairs in samples().items()
    for index, (arrays, attrs) in enumerate(pairs)
]


def narrowed(arrays: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """The arrays in C order, with floats as models have them."""
    found = [np.array(a, order="C") for a in arrays]
    return [a.astype(F4) if a.dtype == np.float64 else a for a in found]


def types_of(arrays: list[np.ndarray]) -> list[TensorType]:
    return [TensorType(a.shape, a.dtype) for a in arrays]


@pytest.mark.parametrize(("name", "arrays", "attrs"), CASES)
def test_every_operation_gives_the_bits_that_it_gives_eagerly(
    name: str, arrays: tuple[np.ndarray, ...], attrs: dict[str, Any]
) -> None:
    def f(*tensors: Tensor) -> tuple[Tensor, ...]:
        return outputs_of(apply(name, *tensors, **attrs))

    given = narrowed(arrays)
    expected = [t.numpy() for t in f(*map(Tensor, given))]
    p.same(p.interpret(trace(f, *types_of(given)), given), expected)


def has_gradient(name: str, arrays: tuple[np.ndarray, ...], attrs: dict[str, Any]) -> bool:
    types = [TensorType(a.shape, a.dtype) for a in arrays]
    results = outputs_of(OPS[name].infer(*types, **attrs))
    floats = any(dtypes.is_float(t.dtype) for t in results)
    return OPS[name].vjp is not None and floats and name != "to_device"  # which is never traced


@pytest.mark.parametrize(
    ("name", "arrays", "attrs"), [case for case in CASES if has_gradient(*case.values)]
)
def test_every_gradient_has_the_bits_that_it_has_eagerly(
    name: str, arrays: tuple[np.ndarray, ...], attrs: dict[str, Any]
) -> None:
    def total(*tensors: Tensor) -> Tensor:
        found = [y for y in outputs_of(apply(name, *tensors, **attrs)) if dtypes.is_float(y.dtype)]
        return sum(((y * y).sum() for y in found[1:]), (found[0] * found[0]).sum())

    given = narrowed(arrays)
    floating = [i for i, a in enumerate(given) if a.dtype.kind == "f"]
    floating = floating[:1] if name == "cross_entropy" else floating  # its weights have none
    tensors = [Tensor(a, requires_grad=i in floating) for i, a in enumerate(given)]
    slopes = grad(total(*tensors), [tensors[i] for i in floating])
    expected = [g.numpy() for g in slopes if g is not None]

    def sloped(*symbols: Tensor) -> list[Tensor]:
        found = gradients(total(*symbols).data, [symbols[i].data for i in floating])
        return [Tensor(value) for value in found if value is not None]

    graph = trace(sloped, *types_of(given))
    p.same(p.interpret(graph, given), expected)
    p.same(p.interpret(simplify(graph), given), expected)


def runner(function: Any, *shapes: tuple[int, ...]) -> Interpreter:
    return Interpreter(make_plan(trace(function, *p.types(shapes))), {})


def test_runs_do_not_depend_on_earlier_ones() -> None:
    run = runner(lambda x, y: engine.tanh(x @ y).sum(0), (4, 3), (3, 5))
    one, other = p.arrays([(4, 3), (3, 5)]), p.arrays([(4, 3), (3, 5)], seed=1)
    first = [np.array(a) for a in run.run(one)]
    second = [np.array(a) for a in run.run(other)]
    p.same([np.array(a) for a in run.run(one)], first)
    assert first[0].tobytes() != second[0].tobytes()


def test_inputs_are_left_alone() -> None:
    (x,) = p.arrays([(4, 4)])
    before = x.copy()
    runner(lambda x: x.exp().exp(), (4, 4)).run([x])
    p.same([x], [before])


def test_an_input_of_another_dtype_is_refused() -> None:
    with pytest.raises(TypeError):
        runner(lambda x: x.exp(), (2,)).run([np.zeros(2)])


def test_an_input_may_have_any_strides() -> None:
    (x,) = p.arrays([(6, 4)])
    (found,) = runner(lambda x: x * 2.0, (3, 4)).run([x[::-2]])
    p.same([found], [x[::-2] * np.float32(2)])


def test_the_arena_is_aligned_and_must_be_large_enough() -> None:
    for size in (0, 1, 100, 4096):
        arena = aligned.memory(size)
        assert arena.nbytes == size
        assert not size or arena.ctypes.data % 64 == 0
    plan = make_plan(trace(lambda x: x.softmax(0), *p.types([(8, 8)])))
    with pytest.raises(GraphError, match="bytes"):
        Interpreter(plan, {}, aligned.memory(plan.arena_bytes - 1))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3, "float64"), "not float32"),
        (np.zeros((3, 2), "float32"), "not float32"),
        (np.zeros(6, "float32")[::2], "C order"),
        (np.broadcast_to(np.float32(0), (3,)), "C order"),
    ],
)
def test_a_resident_array_that_does_not_fit_is_refused(array: np.ndarray, message: str) -> None:
    graph = trace(lambda w: w * 2.0, *p.types([(3,)]))
    graph.updates = {0: 0}
    with pytest.raises(GraphError, match=message):
        Interpreter(make_plan(graph, [0]), {0: array})


def test_a_launch_that_fails_says_where() -> None:
    def out_of_bounds(x: Tensor, i: Tensor) -> Tensor:
        return x.gather(0, i)

    plan = make_plan(
        trace(out_of_bounds, TensorType((3,), F4), TensorType((2,), np.dtype("int64")))
    )
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the operation raises
        Interpreter(plan, {}).run([np.zeros(3, F4), np.asarray([0, 99])])
    assert any("in launch" in note and "gather" in note for note in caught.value.__notes__)


def test_scratch_is_shared_by_tasks_and_split_by_place() -> None:
    scratch = Scratch()
    one, other = scratch(0, (4,), F4), scratch(1, (4,), F4)
    assert not np.shares_memory(one, other)
    assert np.shares_memory(one, scratch(0, (2, 2), F4))
    assert scratch(0, (100,), F4).shape == (100,)


def test_numbers_out_of_range_raise_no_warning() -> None:
    (found,) = runner(lambda x: (x * 1e38).exp() / (x - x), (3,)).run([np.ones(3, F4)])
    assert np.isinf(found).all()

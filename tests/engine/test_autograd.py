import gc
import weakref
from typing import Any

import numpy as np
import pytest

import engine
from engine import Function, Tensor
from engine.errors import GradientError
from engine.function import Saved
from engine.ir.graph import TensorType
from engine.ir.passes.differentiate import differentiate
from engine.ir.trace import trace
from engine.ops.registry import outputs_of
from engine.testing import gradcheck, gradgradcheck


def leaf(*values: float) -> Tensor:
    return engine.tensor(list(values), "float64", requires_grad=True)


def grad_of(x: Tensor) -> Any:
    assert x.grad is not None
    return x.grad.tolist()


def test_gradients_add_up_over_uses_and_calls() -> None:
    x = leaf(1.0, 2.0)
    (x * x + x).sum().backward()
    assert grad_of(x) == [3.0, 5.0]
    (x * 2).sum().backward()
    assert grad_of(x) == [5.0, 7.0]


def test_grad_leaves_leaves_alone_and_gives_none_for_strangers() -> None:
    x, y = leaf(1.0), leaf(2.0)
    first, second = engine.grad((x * 3).sum(), [x, y])
    assert first is not None
    assert first.tolist() == [3.0]
    assert second is None
    assert x.grad is None


def test_grad_of_something_in_the_middle() -> None:
    x = leaf(2.0)
    middle = x * x
    found = engine.grad((middle * middle).sum(), [middle, x])
    assert [g.tolist() for g in found if g is not None] == [[8.0], [32.0]]


def test_grad_asked_twice_for_one_tensor() -> None:
    x = leaf(2.0)
    found = engine.grad((x * x).sum(), [x, x])
    assert [g.tolist() for g in found if g is not None] == [[4.0], [4.0]]


def test_grad_of_several_outputs_with_weights() -> None:
    x = leaf(1.0, 2.0)
    outputs = [x * 2, (x * x).sum()]
    (found,) = engine.grad(outputs, [x], gradient=[engine.tensor([1.0, 10.0], "float64"), None])
    assert found is not None
    assert found.tolist() == [4.0, 24.0]


def test_backward_from_a_tensor_needs_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(GradientError, match=r"reduce it with \.sum\(\) or \.mean\(\)"):
        (x * 2).backward()
    (x * 2).backward(engine.tensor([1.0, 5.0], "float64"))
    assert grad_of(x) == [2.0, 10.0]
    with pytest.raises(GradientError, match="does not fit"):
        (x * 2).backward(engine.tensor([1.0], "float64"))


def test_backward_without_a_leaf_is_refused() -> None:
    with pytest.raises(GradientError, match="requires_grad=True"):
        engine.ones(1).backward()


def test_integers_have_no_gradient() -> None:
    with pytest.raises(GradientError, match="holds no floats"):
        engine.arange(3).requires_grad_()


def test_no_grad_and_inference_mode_record_nothing() -> None:
    x = leaf(1.0)
    for mode in (engine.no_grad, engine.inference_mode):
        with mode():
            assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_detach_cuts_the_tape() -> None:
    x = leaf(3.0)
    (x * x.detach()).sum().backward()
    assert grad_of(x) == [3.0]


def test_backward_again_gives_the_same() -> None:
    x = leaf(2.0)
    y = (x**3).sum()
    y.backward()
    first = grad_of(x)
    x.grad = None
    y.backward()
    assert grad_of(x) == first == [12.0]


def test_double_backward_through_grad_attributes() -> None:
    x = leaf(2.0)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    assert first is not None
    x.grad = None
    first.sum().backward()
    assert grad_of(x) == [12.0]


def test_hooks_see_and_change_gradients_of_leaves_and_of_the_middle() -> None:
    x = leaf(1.0, 2.0)
    middle = x * 3
    seen: list[Any] = []
    middle.register_hook(lambda g: seen.append(g.tolist()))
    remove = middle.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    (middle * middle).sum().backward()
    assert seen == [[6.0, 12.0]]
    assert grad_of(x) == [181.0, 361.0]
    remove()
    x.grad = None
    (middle * middle).sum().backward()
    assert grad_of(x) == [19.0, 37.0]


def test_a_hook_runs_once_on_the_whole_gradient() -> None:
    x = leaf(1.0)
    middle = x * 2
    seen: list[Any] = []
    middle.register_hook(lambda g: seen.append(g.item()))
    (middle + middle * 5).sum().backward()
    assert seen == [6.0]


def test_a_hook_on_a_constant_is_refused() -> None:
    with pytest.raises(GradientError, match="hook"):
        engine.ones(1).register_hook(print)


class Cube(Function):
    def forward(ctx: Saved, x: Tensor, *, scale: float) -> Tensor:
        ctx.save(x, scale)
        return x * x * x * scale

    def backward(ctx: Saved, g: Tensor) -> Tensor:
        x, scale = ctx.saved
        return g * x * x * (3 * scale)


def test_a_function_of_ones_own_differentiates_twice() -> None:
    gradcheck(lambda x: Cube.apply(x, scale=2.0), [np.array([0.5, -1.5])])
    gradgradcheck(lambda x: Cube.apply(x, scale=2.0), [np.array([0.5, -1.5])])


def test_a_function_of_ones_own_keeps_its_gradient_in_a_graph() -> None:
    class Straight(Function):
        """Rounds, and lets the gradient through as if it had not."""

        def forward(ctx: Saved, x: Tensor) -> Tensor:
            return x.round()

        def backward(ctx: Saved, g: Tensor) -> Tensor:
            return g * 2

    float2 = TensorType((2,), np.dtype("float64"))
    graph = differentiate(trace(lambda x: (Straight.apply(x) * 3).sum(), float2))
    values = {graph.inputs[0]: np.array([0.3, 0.7]), **graph.constants}
    for node in graph.nodes:
        made = node.op.ref(*[values[v] for v in node.inputs], **node.attrs)
        values.update(zip(node.outputs, outputs_of(made), strict=True))
    assert values[graph.outputs[0]] == 3.0
    np.testing.assert_array_equal(values[graph.outputs[1]], [6.0, 6.0])


class Halves(Function):
    def forward(ctx: Saved, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:1] * 2, x[1:] * 3

    def backward(ctx: Saved, a: Tensor, b: Tensor) -> Tensor:
        return engine.cat([a * 2, b * 3])


def test_a_function_with_two_outputs_gets_zeros_for_the_unused_one() -> None:
    x = leaf(1.0, 2.0)
    Halves.apply(x)[1].sum().backward()
    assert grad_of(x) == [0.0, 3.0]


def test_a_wrong_number_of_gradients_is_named() -> None:
    class Wrong(Function):
        def forward(ctx: Saved, x: Tensor, y: Tensor) -> Tensor:
            return x * y

        def backward(ctx: Saved, g: Tensor) -> Tensor:
            return g

    with pytest.raises(GradientError, match=r"Wrong\.backward gave 1 gradients for 2 inputs"):
        Wrong.apply(leaf(1.0), leaf(1.0)).sum().backward()


def test_deep_programs_need_no_recursion() -> None:
    x = y = leaf(1.0)
    for _ in range(20_000):
        y = y + 1
    y.sum().backward()
    assert grad_of(x) == [1.0]


def test_shared_parts_are_walked_once() -> None:
    x = y = leaf(1.0)
    for _ in range(60):
        y = y + y
    y.sum().backward()
    assert grad_of(x) == [2.0**60]


def test_a_tape_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        middle = x.exp()
        held = weakref.ref(middle)
        y = (middle * 2).sum()
        del middle
        assert y.node is not None
        node = weakref.ref(y.node.inputs[0])
        y.backward()
        del y
        assert held() is None
        assert node() is None
    finally:
        gc.enable()


def test_gradients_are_freed_while_the_tape_is_walked() -> None:
    x = engine.ones(1000).requires_grad_()
    held: list[Any] = []

    def watch(g: Tensor) -> None:
        held.append(weakref.ref(g))
        assert sum(r() is not None for r in held) <= 3

    y = x
    for _ in range(20):
        y = y * 2
        y.register_hook(watch)
    y.sum().backward()
    assert len(held) == 20


def test_gradients_have_the_dtype_of_their_tensor() -> None:
    x = engine.tensor([1.0, 2.0], requires_grad=True)
    (x.to("float64") * np.ones(2)).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32


def test_checks_notice_a_wrong_gradient() -> None:
    class Lie(Function):
        def forward(ctx: Saved, x: Tensor) -> Tensor:
            return x * x

        def backward(ctx: Saved, g: Tensor) -> Tensor:
            return g * 2

    with pytest.raises(GradientError, match="input 0"):
        gradcheck(Lie.apply, [np.array([0.7, 2.0])])
    with pytest.raises(GradientError, match="no output"):
        gradcheck(lambda x: x.detach(), [np.array([0.7])])

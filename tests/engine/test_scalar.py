import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

import engine
from engine.backend.erf import erf
from engine.errors import GradientError
from engine.ops import elementwise
from engine.ops.derivative import pull_back
from engine.ops.pointwise import pointwise
from engine.ops.registry import OPS
from engine.ops.scalar import Expr, argument, build, const, operations, walk
from engine.ops.vectors import BLOCK, VectorCode

X, Y = argument(0), argument(1)
SMOOTH = ["neg", "square", "exp", "sin", "tanh", "sigmoid", "softplus", "erf", "atan"]


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> Expr:
    """Smooth expressions of two inputs."""
    if depth == 0 or (draw(st.booleans()) and depth < 4):
        return draw(st.sampled_from([X, Y, const(0.5), const(-1.5), const(1)]))
    if draw(st.booleans()):
        return build(draw(st.sampled_from(SMOOTH)), draw(expressions(depth=depth - 1)))
    left, right = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    return build(draw(st.sampled_from(["add", "sub", "mul"])), left, right)


_VALUE = {
    "neg": lambda a: -a,
    "square": lambda a: a * a,
    "sigmoid": special.expit,
    "softplus": lambda a: np.logaddexp(0, a),
    "erf": special.erf,
    "atan": np.arctan,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "reciprocal": lambda a: 1 / a,
}


def value(root: Expr, *inputs: np.ndarray) -> np.ndarray:
    """The expression by a plain walk, without generated code."""
    done: dict[Expr, np.ndarray] = {}
    for e in walk([root]):
        if e.op == "const":
            done[e] = np.asarray(e.value, float)
        elif e.op == "input":
            done[e] = inputs[e.value]
        else:
            function = _VALUE.get(e.op) or getattr(np, e.op)
            done[e] = function(*(done[a] for a in e.args))
    return done[root]


POINTS = np.array([-1.3, -0.4, 0.2, 0.9]), np.array([0.7, -1.1, 0.3, 1.2])


@settings(max_examples=150, deadline=None)
@given(expressions())
def test_generated_code_computes_the_expression(root: Expr) -> None:
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(value(root, *POINTS), 4)
        got = VectorCode([root])(POINTS, np.dtype(float))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(expressions())
def test_derivatives_are_those_of_differences(root: Expr) -> None:
    flows = pull_back([root], [const(1.0)], [X, Y])
    step = 1e-6
    with np.errstate(all="ignore"):
        for place, flow in enumerate(flows):
            ends = []
            for side in (step, -step):
                moved = [p + side if i == place else p for i, p in enumerate(POINTS)]
                ends.append(value(root, *moved))
            slope = np.broadcast_to((ends[0] - ends[1]) / (2 * step), 4)
            got = np.broadcast_to(value(flow, *POINTS), 4)
            fine = np.isfinite(slope) & (np.abs(slope) < 1e3)
            np.testing.assert_allclose(got[fine], slope[fine], rtol=1e-5, atol=1e-5)


def test_simplification_finds_the_plain_forms() -> None:
    assert X + 0 == X
    assert X * 1 == X
    assert (X * 0).op == "const"
    assert build("neg", -X) == X
    assert X - (-Y) == X + Y
    assert build("pow", X, const(2)).op == "square"
    assert build("pow", X, const(0.5)).op == "sqrt"
    assert build("reciprocal", X) == 1 / X
    assert 2 * (3 * X) == 6 * X
    assert const(2) + const(3) == const(5)


def test_a_shared_part_is_computed_once() -> None:
    part = build("exp", X)
    assert operations((part * part + part,)) == 3


def test_the_derivative_of_a_product_is_the_plain_product() -> None:
    x, y = engine.ones(2).requires_grad_(), engine.ones(2)
    before = set(OPS)
    (x * y).sum().backward()
    assert set(OPS) == before


def test_the_derivative_of_exp_and_tanh_reads_the_output() -> None:
    exp_flow = elementwise.exp.derivative(0)
    assert exp_flow.op == "mul"
    assert set(exp_flow.args) == {argument(1), argument(2)}
    assert {e.value for e in walk([elementwise.tanh.derivative(0)]) if e.op == "input"} == {1, 2}


def test_an_expression_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="where"):
        bool(X > 0)


def test_several_outputs() -> None:
    @pointwise(name="test_both")
    def both(x: Expr, y: Expr, *, rate: float = 0.5) -> tuple[Expr, Expr]:
        """The sum and a scaled product."""
        return x + y, rate * (x * y)

    x, y = engine.tensor([1.0, 2.0]).requires_grad_(), engine.tensor([3.0, 4.0])
    first, second = both(x, y, rate=2.0)
    assert second.tolist() == [6.0, 16.0]
    (first.sum() + second.sum()).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [7.0, 9.0]
    del OPS["test_both"]


def test_an_output_may_be_an_input_of_a_rule_with_several_outputs() -> None:
    mean, rest = X * 0.9 + Y * 0.1, Y - X
    code = VectorCode([Y * X, mean, rest])
    x, y = np.linspace(-1, 1, 7), np.linspace(2, 3, 7)
    expected = code((x, y), np.dtype(float))
    held = x.copy(), y.copy()
    got = code(held, np.dtype(float), (np.empty(7), held[0], held[1]))
    for mine, plain in zip(got, expected, strict=True):
        np.testing.assert_array_equal(mine, plain)


@pytest.mark.parametrize("shape", [(5 * BLOCK + 3,), (7, 3 * BLOCK // 7 + 1), (4 * BLOCK, 2)])
@pytest.mark.parametrize("other", ["same", "row", "column", "one", "turned"])
def test_blocks_give_what_the_whole_gives(shape: tuple[int, ...], other: str) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    shapes = {"same": shape, "row": shape[-1:], "column": (*shape[:-1], 1), "one": ()}
    y = np.random.default_rng(1).standard_normal(shapes.get(other, shape[::-1]))
    y = y.T if other == "turned" else y
    code = VectorCode([build("tanh", X * Y) + X / (1 + build("square", Y))])
    got = code((x, y), np.dtype(float))[0]
    np.testing.assert_allclose(got, np.tanh(x * y) + x / (1 + y * y), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4))
def test_broadcasting_is_that_of_numpy(shapes: hnp.BroadcastableShapes) -> None:
    a, b, c = (
        np.random.default_rng(i).standard_normal(s) for i, s in enumerate(shapes.input_shapes)
    )
    got = engine.where(engine.tensor(a) > 0, engine.tensor(b), engine.tensor(c))
    expected = np.where(a > 0, b, c)
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got.numpy(), expected)


@settings(max_examples=60, deadline=None)
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4))
def test_gradients_have_the_shape_of_their_tensor(shapes: hnp.BroadcastableShapes) -> None:
    x, y = (engine.ones(*s).requires_grad_() for s in shapes.input_shapes)
    (x * 2 + x * y).sum().backward()
    for tensor in (x, y):
        repeats = np.prod(shapes.result_shape) / max(1, np.prod(tensor.shape))
        slope = 3.0 if tensor is x else 1.0
        assert tensor.grad is not None
        np.testing.assert_array_equal(tensor.grad.numpy(), np.full(tensor.shape, slope * repeats))


def test_erf_is_exact_to_the_last_bits() -> None:
    x = np.concatenate([np.linspace(-7, 7, 200001), [1e-300, 0.46875, 4.0, 6.0, np.inf, -np.inf]])
    np.testing.assert_allclose(erf(x), special.erf(x), rtol=7e-16, atol=0)
    single = x.astype(np.float32)
    np.testing.assert_allclose(erf(single), special.erf(single.astype(float)), atol=5e-7, rtol=0)
    assert np.isnan(erf(np.array([np.nan]))[0])


EXTREME = [-1e4, -100.0, -30.0, -1e-8, 0.0, 1e-8, 30.0, 100.0, 1e4]


@pytest.mark.parametrize(
    "name",
    [
        "sigmoid",
        "softplus",
        "logsigmoid",
        "silu",
        "mish",
        "gelu",
        "gelu_tanh",
        "elu",
        "celu",
        "selu",
        "tanh",
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_and_their_slopes_are_finite_far_out(name: str, dtype: str) -> None:
    x = engine.tensor(EXTREME, dtype, requires_grad=True)
    y = getattr(engine, name)(x)
    (slope,) = engine.grad(y.sum(), [x], create_graph=True)
    assert slope is not None
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(slope.numpy()).all()
    (bend,) = engine.grad(slope.sum(), [x])
    assert bend is not None
    assert np.isfinite(bend.numpy()).all()


def test_log_losses_are_exact_far_out() -> None:
    x = engine.tensor([-200.0, 200.0], "float64")
    loss = engine.binary_cross_entropy_with_logits(
        x, engine.tensor([1.0, 0.0], "float64"), reduction="none"
    )
    np.testing.assert_allclose(loss.numpy(), [200.0, 200.0])


def test_relu_is_flat_at_zero_and_equals_share_a_maximum() -> None:
    x = engine.tensor([0.0, 1.0], requires_grad=True)
    engine.relu(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0]
    a, b = engine.ones(1).requires_grad_(), engine.ones(1).requires_grad_()
    engine.maximum(a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.item(), b.grad.item()) == (0.5, 0.5)


def test_a_masked_infinity_does_not_reach_the_gradient() -> None:
    x = engine.tensor([0.0, 4.0], requires_grad=True)
    safe = engine.where(x > 0, x, 1.0)
    engine.where(x > 0, 1 / safe, 0.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, -1 / 16]


def test_a_step_has_no_slope() -> None:
    x = engine.ones(2).requires_grad_()
    (gradient,) = engine.grad((x + x.floor()).sum(), [x])
    assert gradient is not None
    assert gradient.tolist() == [1.0, 1.0]
    with pytest.raises(GradientError):
        (x > 0).sum().backward()


def test_any_order_of_derivative() -> None:
    x = engine.tensor([0.3], "float64", requires_grad=True)
    y = engine.sin(x * 2)
    for order in range(1, 6):
        (y,) = engine.grad(y.sum(), [x], create_graph=True)  # type: ignore[assignment]
        expected = 2**order * np.sin(0.6 + order * np.pi / 2)
        np.testing.assert_allclose(y.numpy(), [expected], rtol=1e-12)


def test_infinities_pass_without_a_warning() -> None:
    x = engine.tensor([0.0, -1.0, 1e30])
    assert (x.log() + (x * x) - (1 / x) + x.exp()).isfinite().tolist() == [False] * 3
    assert not engine.softmax(engine.full(2, value=-np.inf)).isfinite().any()
    assert not (engine.full((1, 2), value=1e30) @ engine.full((2, 1), value=1e30)).isfinite().any()

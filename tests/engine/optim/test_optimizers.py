"""Every optimizer class, walked: it converges, follows its paper, and keeps its state."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from engine import optim
from engine.errors import StateError
from engine.ir.trace import trace
from engine.nn import Module, Parameter, init
from engine.optim import SGD, Adagrad, Adam, AdamW, Group, Optimizer, RMSprop, no_decay
from engine.tensor import Tensor

Make = Callable[..., Optimizer]
Formula = Callable[..., Iterator[np.ndarray]]


def sgd(
    p: np.ndarray, lr: float, momentum: float = 0, nesterov: bool = False, weight_decay: float = 0
) -> Any:
    b = np.zeros_like(p)
    while True:
        g = (yield p) + weight_decay * p
        b = momentum * b + g
        p = p - lr * (g + momentum * b if nesterov else b)


def adam(
    p: np.ndarray,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled: bool = False,
) -> Any:
    m, v, top = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    t = 0
    while True:
        g = yield p
        t += 1
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        top = np.maximum(top, v)
        used = top if amsgrad else v
        m_hat, v_hat = m / (1 - betas[0] ** t), used / (1 - betas[1] ** t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)


def adamw(p: np.ndarray, lr: float, weight_decay: float = 0.01, **options: Any) -> Any:
    return adam(p, lr, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop(
    p: np.ndarray,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> Any:
    v, b = np.zeros_like(p), np.zeros_like(p)
    while True:
        g = (yield p) + weight_decay * p
        v = alpha * v + (1 - alpha) * g**2
        b = momentum * b + g / (np.sqrt(v) + eps)
        p = p - lr * b


def adagrad(
    p: np.ndarray,
    lr: float,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
) -> Any:
    s, t = np.full_like(p, initial_accumulator_value), 0
    while True:
        g = (yield p) + weight_decay * p
        t += 1
        s = s + g**2
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps)


CASES: dict[str, tuple[Make, Callable[..., Any], dict[str, Any]]] = {
    "SGD": (SGD, sgd, {"lr": 0.1}),
    "SGD decay": (SGD, sgd, {"lr": 0.1, "weight_decay": 0.05}),
    "SGD momentum": (SGD, sgd, {"lr": 0.03, "momentum": 0.9, "weight_decay": 0.01}),
    "SGD nesterov": (SGD, sgd, {"lr": 0.03, "momentum": 0.9, "nesterov": True}),
    "Adam": (Adam, adam, {"lr": 0.1}),
    "Adam decay": (Adam, adam, {"lr": 0.1, "weight_decay": 0.1, "betas": (0.8, 0.99)}),
    "Adam no momentum": (Adam, adam, {"lr": 0.1, "betas": (0.0, 0.99)}),
    "Adam amsgrad": (Adam, adam, {"lr": 0.1, "amsgrad": True, "betas": (0.9, 0.5)}),
    "AdamW": (AdamW, adamw, {"lr": 0.1, "weight_decay": 0.1}),
    "AdamW amsgrad": (AdamW, adamw, {"lr": 0.1, "amsgrad": True}),
    "RMSprop": (RMSprop, rmsprop, {"lr": 0.02, "alpha": 0.9}),
    "RMSprop momentum": (RMSprop, rmsprop, {"lr": 0.005, "momentum": 0.8, "weight_decay": 0.01}),
    "Adagrad": (Adagrad, adagrad, {"lr": 0.5}),
    "Adagrad decay": (
        Adagrad,
        adagrad,
        {"lr": 0.5, "lr_decay": 0.01, "weight_decay": 0.01, "initial_accumulator_value": 0.1},
    ),
}
START = np.array([[1.0, -2.0], [0.5, 3.0]])
CURVATURE = np.array([[1.0, 0.3], [2.0, 0.7]])


def gradient(p: np.ndarray) -> np.ndarray:
    """Of the quadratic sum(CURVATURE * p^2) / 2, whose minimum is 0."""
    return CURVATURE * p


def parameter(dtype: str = "float64") -> Parameter:
    found = Parameter((2, 2), init.zeros, dtype=dtype)
    found.init(0, "w")
    found.data[...] = START
    return found


def run(optimizer: Optimizer, p: Parameter, steps: int) -> list[np.ndarray]:
    path = []
    for _ in range(steps):
        p.grad = Tensor(gradient(p.data).astype(p.dtype))
        optimizer.step()
        path.append(p.data.copy())
    return path


def test_the_cases_below_walk_every_optimizer() -> None:
    classes = {
        kind
        for kind in vars(optim).values()
        if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
    }
    assert {make for make, _, _ in CASES.values()} == classes


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_follow_the_formula_of_the_paper(case: str) -> None:
    make, formula, options = CASES[case]
    p = parameter()
    path = run(make([("w", p)], **options), p, 20)
    oracle = formula(START, **options)
    at = next(oracle)
    for found in path:
        at = oracle.send(gradient(at))
        np.testing.assert_allclose(found, at, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_float32_follows_the_formula_too(case: str) -> None:
    make, formula, options = CASES[case]
    p = parameter("float32")
    found = run(make([("w", p)], **options), p, 20)[-1]
    oracle = formula(START, **options)
    at = next(oracle)
    for _ in range(20):
        at = oracle.send(gradient(at))
    np.testing.assert_allclose(found, at, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_it_finds_the_minimum_of_a_quadratic(case: str) -> None:
    make, _, options = CASES[case]
    p = parameter()
    run(make([("w", p)], **options), p, 400)
    assert np.abs(p.data).max() < 0.05


@pytest.mark.parametrize("case", CASES)
def test_the_eager_step_is_the_pure_rule(case: str) -> None:
    make, _, options = CASES[case]
    p = parameter("float32")
    optimizer = make([("w", p)], **options)
    state = {slot: Tensor(array.copy()) for slot, array in optimizer.state["w"].items()}
    pure = Tensor(p.data.copy())
    path = run(optimizer, p, 5)
    for step, expected in enumerate(path, 1):
        g = Tensor(gradient(pure.data).astype(np.float32))
        pure, state = optimizer.update(
            pure, g, state, lr=optimizer.lr, step=step, **optimizer.options["w"]
        )
        assert pure.numpy().tobytes() == expected.tobytes()
    for slot, tensor in state.items():
        assert tensor.numpy().tobytes() == optimizer.state["w"][slot].tobytes()


@pytest.mark.parametrize("case", CASES)
def test_the_rule_can_be_traced_with_step_and_rate_unknown(case: str) -> None:
    make, _, options = CASES[case]
    p = parameter("float32")
    optimizer = make([("w", p)], **options)

    def update(p: Tensor, g: Tensor, state: dict[str, Tensor], lr: Tensor, step: Tensor) -> Any:
        return optimizer.update(p, g, state, lr=lr, step=step, **optimizer.options["w"])

    types = optimizer.state_types()["w"]
    number, count = np.zeros((), np.float32), np.zeros((), np.int64)
    graph = trace(update, p.type, p.type, types, number, count)
    assert [value.type for value in graph.outputs] == [p.type] * (1 + len(types))


@pytest.mark.parametrize("case", CASES)
def test_a_restored_state_goes_on_to_the_same_bytes(case: str) -> None:
    make, _, options = CASES[case]
    p = parameter("float32")
    optimizer = make([("w", p)], **options)
    run(optimizer, p, 7)
    held, weights = optimizer.state_dict(), p.data.copy()
    expected = run(optimizer, p, 7)[-1]

    again = parameter("float32")
    again.data[...] = weights
    fresh = make([("w", again)], **options)
    fresh.load_state_dict(held)
    assert fresh.steps == 7
    assert run(fresh, again, 7)[-1].tobytes() == expected.tobytes()


def test_a_state_dict_is_a_copy() -> None:
    p = parameter()
    optimizer = Adam([("w", p)])
    run(optimizer, p, 1)
    held = optimizer.state_dict()
    before = held["exp_avg.w"].copy()
    run(optimizer, p, 1)
    np.testing.assert_array_equal(held["exp_avg.w"], before)


def test_a_state_that_does_not_fit_is_refused_whole() -> None:
    p = parameter()
    optimizer = Adam([("w", p)])
    state = optimizer.state_dict()
    bad = {"steps": state["steps"], "exp_avg.w": np.ones((3,)), "exp_avg.v": np.ones((2, 2))}
    with pytest.raises(StateError) as refused:
        optimizer.load_state_dict(bad)
    told = str(refused.value)
    assert "missing: exp_avg_sq.w" in told
    assert "extra: exp_avg.v" in told
    assert "misshapen: exp_avg.w is [3], expected [2, 2]" in told
    assert optimizer.state["w"]["exp_avg"].sum() == 0.0


class Small(Module):
    def __init__(self) -> None:
        self.weight = Parameter((2, 2), init.ones, dtype="float64")
        self.bias = Parameter((2,), init.ones, dtype="float64")


def still(model: Module) -> None:
    for p in model.parameters():
        p.grad = Tensor(np.zeros(p.shape))


def test_biases_can_be_left_out_of_weight_decay() -> None:
    model = Small().init()
    optimizer = SGD(
        model.named_parameters(),
        lr=0.1,
        weight_decay=0.5,
        groups=[no_decay(model.named_parameters())],
    )
    still(model)
    optimizer.step()
    np.testing.assert_allclose(model.weight.data, 0.95)
    np.testing.assert_array_equal(model.bias.data, 1.0)


def test_a_group_learns_in_proportion_to_its_rate() -> None:
    model = Small().init()
    optimizer = SGD(model.named_parameters(), lr=0.1, groups=[Group("*bias", lr=0.01)])
    for p in model.parameters():
        p.grad = Tensor(np.ones(p.shape))
    optimizer.step(lr=0.2)
    np.testing.assert_allclose(model.weight.data, 0.8)
    np.testing.assert_allclose(model.bias.data, 0.98)


def test_later_groups_win() -> None:
    groups = [Group("*", weight_decay=0.1), Group({"bias"}, weight_decay=0.2)]
    model = Small()
    optimizer = SGD(model.named_parameters(), groups=groups)
    assert optimizer.options["weight"]["weight_decay"] == 0.1
    assert optimizer.options["bias"]["weight_decay"] == 0.2


def test_frozen_parameters_stay_and_have_no_state() -> None:
    model = Small().init()
    optimizer = Adam(model.named_parameters(), lr=0.1)
    model.freeze("weight")
    for p in model.parameters():
        p.grad = Tensor(np.ones(p.shape))
    optimizer.step()
    np.testing.assert_array_equal(model.weight.data, 1.0)
    assert (model.bias.data < 1.0).all()
    assert set(optimizer.state) == {"bias"}


def test_parameters_without_a_gradient_stay() -> None:
    model = Small().init()
    optimizer = SGD(model.named_parameters(), lr=0.1, weight_decay=0.5)
    optimizer.zero_grad()
    optimizer.step()
    np.testing.assert_array_equal(model.weight.data, 1.0)


def test_types_of_the_state_are_known_before_init() -> None:
    model = Small()
    types = AdamW(model.named_parameters()).state_types()
    assert {n: {s: t.shape for s, t in slots.items()} for n, slots in types.items()} == {
        "weight": {"exp_avg": (2, 2), "exp_avg_sq": (2, 2)},
        "bias": {"exp_avg": (2,), "exp_avg_sq": (2,)},
    }


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (SGD, {"lr": -1.0}, "lr must be"),
        (SGD, {"lr": float("nan")}, "lr must be"),
        (SGD, {"momentum": 1.0}, "momentum must be"),
        (SGD, {"nesterov": True}, "nesterov needs a momentum"),
        (SGD, {"weight_decay": -0.1}, "weight_decay must be"),
        (Adam, {"betas": (0.9, 1.0)}, r"betas\[1\] must be"),
        (Adam, {"betas": (0.9,)}, "betas must be two numbers"),
        (Adam, {"eps": -1e-8}, "eps must be"),
        (RMSprop, {"alpha": 1.5}, "alpha must be"),
        (Adagrad, {"lr_decay": -1}, "lr_decay must be"),
        (SGD, {"groups": [Group("*", betas=(0.9, 0.9))]}, "a group has betas; expected some of lr"),
        (SGD, {"groups": [Group("*", momentum=2.0)]}, "momentum must be"),
        (SGD, {"groups": [Group("*", lr=-2.0)]}, "lr must be"),
    ],
)
def test_options_out_of_range_are_refused(make: Make, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make([("w", parameter())], **options)


def test_an_optimizer_of_nothing_is_refused() -> None:
    with pytest.raises(StateError, match="at least one parameter"):
        SGD([])


def test_adam_is_the_reference_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for make, options in [(Adam, {}), (AdamW, {"weight_decay": 0.1}), (RMSprop, {}), (SGD, {})]:
        p = parameter()
        twin = torch.nn.Parameter(torch.tensor(START))
        ours = make([("w", p)], lr=0.05, **options)
        theirs = getattr(torch.optim, make.__name__)([twin], lr=0.05, **options)
        for _ in range(20):
            p.grad = Tensor(gradient(p.data))
            twin.grad = torch.tensor(gradient(twin.detach().numpy()))
            ours.step()
            theirs.step()
        np.testing.assert_allclose(p.data, twin.detach().numpy(), rtol=1e-10)

"""What is made of weights and kept: used while the weights have the same bytes, never after."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import engine
from engine import nn
from engine.backend.cpu import toolchain
from engine.compile import Inference, TrainStep
from engine.compile.plan import Plan
from engine.optim import SGD

#: A convolution and the shape of its input: one for each way of packing weights.
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "flat": (lambda: nn.Conv2d(3, 20, 3, padding=1), (1, 3, 32, 32)),
    "windows": (lambda: nn.Conv2d(20, 70, 2, stride=2), (1, 20, 9, 9)),
    "many rows": (lambda: nn.Conv2d(70, 300, 1), (1, 70, 5, 5)),
    "groups": (lambda: nn.Conv2d(24, 60, 3, groups=3), (1, 24, 9, 9)),
    "one panel of tiles": (lambda: nn.Conv2d(32, 70, 3, padding=1), (1, 32, 16, 16)),
    "panels of tiles": (lambda: nn.Conv2d(16, 300, 3), (2, 16, 34, 34)),
    "one axis": (lambda: nn.Conv1d(5, 9, 7), (2, 5, 300)),
    "beyond what is kept": (lambda: nn.Conv2d(300, 150, 3), (1, 300, 6, 6)),
}


@pytest.fixture(autouse=True)
def _compiler() -> None:
    if toolchain.find() is None:
        pytest.skip("no C compiler on this machine")


def image(shape: tuple[int, ...], seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def afresh(model: nn.Module, x: np.ndarray) -> bytes:
    """The bytes that a plan gives that has kept nothing."""
    found: np.ndarray = Inference(model, threads=1)(x)
    return found.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_a_number_written_anywhere_shows_at_once(name: str, threads: int) -> None:
    make, shape = CASES[name]
    model, x = make().init(1), image(shape)
    predict = Inference(model, threads=threads)
    weight = dict(model.named_parameters())["weight"].numpy()
    places = np.random.default_rng(0).integers(0, weight.size, 12)
    before = predict(x).tobytes()
    for place in [0, weight.size - 1, weight.size // 2, *places]:
        held = weight.flat[place].copy()
        weight.flat[place] += 1.0
        assert predict(x).tobytes() == afresh(model, x) != before
        assert predict(x).tobytes() == afresh(model, x)
        weight.flat[place] = held
        assert predict(x).tobytes() == before


@pytest.mark.parametrize("name", CASES)
def test_other_numbers_for_all_weights(name: str) -> None:
    make, shape = CASES[name]
    model, x = make().init(1), image(shape)
    predict = Inference(model, threads=2)
    weight = dict(model.named_parameters())["weight"].numpy()
    for value in (0.0, -0.0, 1.0, np.nan, np.inf, 0.0):
        weight[...] = value
        for _ in range(2):
            assert predict(x).tobytes() == afresh(model, x)


def test_weights_that_are_zero_at_first() -> None:
    model, x = nn.Conv2d(32, 70, 3).init(1), image((1, 32, 12, 12))
    dict(model.named_parameters())["weight"].numpy()[...] = 0
    assert Inference(model)(x).tobytes() == afresh(model, x)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 16, 4),
    ).init(0)  # fmt: skip


def training(model: nn.Module) -> TrainStep:
    def loss(model: nn.Module, batch: Any) -> Any:
        return engine.cross_entropy(model(batch["x"]), batch["y"])

    return TrainStep(model, loss, SGD(model.named_parameters(), momentum=0.9))


def test_steps_of_training_between() -> None:
    model, x = network(), image((1, 3, 16, 16))
    predict, step = Inference(model), training(model)
    seen = {predict(x).tobytes()}
    batch = {"x": image((8, 3, 16, 16)), "y": np.arange(8) % 4}
    for n in range(4):
        step(batch, step=n, lr=0.1)
        found = predict(x).tobytes()
        assert found == predict(x).tobytes() == afresh(model, x)
        seen.add(found)
    assert len(seen) == 5


def test_states_loaded_between() -> None:
    model, other, x = network(), network(), image((1, 3, 16, 16))
    for parameter in other.parameters():
        parameter.numpy()[...] *= 1.5
    states = [{k: np.array(v) for k, v in m.state_dict().items()} for m in (model, other)]
    predict = Inference(model)
    first = predict(x).tobytes()
    for n in (1, 0, 1, 1, 0):
        model.load_state_dict(states[n])
        assert predict(x).tobytes() == afresh((model, other)[n], x)
        assert (predict(x).tobytes() == first) == (n == 0)


def test_arrays_put_in_the_place_of_others() -> None:
    model, x = network(), image((1, 3, 16, 16))
    predict = Inference(model)
    predict(x)
    for parameter in model.parameters():
        parameter.data = parameter.numpy() * np.float32(0.5)
    assert predict(x).tobytes() == afresh(model, x)


def test_statistics_and_biases_written_between() -> None:
    model, x = network(), image((1, 3, 16, 16))
    predict = Inference(model)
    predict(x)
    for _, leaf in [*model.named_buffers(), *model.named_parameters()]:
        if leaf.ndim == 1 and leaf.dtype.kind == "f":
            leaf.numpy()[...] += 0.25
            assert predict(x).tobytes() == afresh(model, x)


def test_threads_that_share_it_while_weights_change() -> None:
    model = network()
    predict = Inference(model, threads=2)
    images = [image((1, 3, 16, 16), seed) for seed in range(4)]
    weight = next(model.parameters()).numpy()
    for _ in range(5):
        weight += np.float32(0.01)
        expected = [afresh(model, x) for x in images]
        with ThreadPoolExecutor(4) as pool:
            found = [y.tobytes() for y in pool.map(predict, images * 4)]
        assert found == expected * 4


def steady(plan: Plan) -> list[bool]:
    convs = [one for one in plan.launches if one.name in ("conv", "fused_conv")]
    return [one.attrs.get("steady", False) for one in convs]


def test_weights_that_a_step_updates_are_not_steady() -> None:
    model, x = network(), image((2, 3, 16, 16))
    assert steady(Inference(model).plan(x)) == [True, True]
    batch = {"x": x, "y": np.zeros(2, np.int64)}
    assert steady(training(model).plan(batch)) == [False, False]


def test_weights_that_are_computed_are_not_steady() -> None:
    class Standardized(nn.Module):
        def __init__(self) -> None:
            self.conv = nn.Conv2d(16, 16, 3)

        def forward(self, x: Any) -> Any:
            weight = self.conv.weight
            return engine.conv(x, weight - weight.mean())

    model, x = Standardized().init(0), image((1, 16, 20, 20))
    predict = Inference(model)
    assert steady(predict.plan(x)) == [False]
    before = predict(x).tobytes()
    model.conv.weight.numpy()[0, 0] += 1.0
    assert predict(x).tobytes() == afresh(model, x) != before

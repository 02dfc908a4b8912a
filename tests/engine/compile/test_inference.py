"""Inference: the model in evaluation mode, as arrays."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import engine
from engine import nn
from engine.compile import Inference, TrainStep
from engine.errors import ShapeError, StateError
from engine.optim import Adam
from engine.tape import set_recording
from engine.tensor import Tensor
from tests.engine.compile.models import CASES


def predictor(model: nn.Module, **options: Any) -> Inference:
    return Inference(model, mode="interpreter", **options)


def eagerly(model: nn.Module, x: np.ndarray) -> np.ndarray:
    modes = [(module, module.training) for module in model.modules()]
    with set_recording(False):
        found: np.ndarray = model.eval()(Tensor(x)).numpy()
    for module, training in modes:
        module.training = training
    return found


@pytest.mark.parametrize("name", CASES)
def test_outputs_have_the_bits_of_eager_evaluation(name: str) -> None:
    case = CASES[name]
    model = case.build().init(1)
    predict = predictor(model)
    for size in (4, 1, 4, 7):
        x = case.batch(size, size)["x"]
        assert predict(x).tobytes() == eagerly(model, x).tobytes()


def test_modes_of_modules_stay_as_they_were() -> None:
    model = CASES["convnet"].build().init(1)
    model.modules()
    list(model.modules())[1].training = False
    before = [module.training for module in model.modules()]
    predictor(model)(CASES["convnet"].batch(2, 0)["x"])
    assert [module.training for module in model.modules()] == before


def test_outputs_are_nested_as_the_function_nests_them() -> None:
    model = nn.Linear(3, 2).init(0)

    def both(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Any]:
        y = model(batch["x"])
        return {"y": y, "more": (y.sum(), [y.softmax(-1)])}

    x = np.ones((4, 3), "float32")
    found = predictor(model, function=both)({"x": x})
    assert found["y"].shape == (4, 2)
    assert found["more"][0].shape == ()
    np.testing.assert_allclose(found["more"][1][0].sum(1), np.ones(4), rtol=1e-6)


def test_results_do_not_change_with_the_next_call() -> None:
    predict = predictor(nn.Linear(3, 2).init(0))
    first = predict(np.ones((4, 3), "float32"))
    held = first.copy()
    predict(np.zeros((4, 3), "float32"))
    assert first.tobytes() == held.tobytes()


def test_training_shows_at_once() -> None:
    case = CASES["residual"]
    model = case.build().init(0)
    predict, x = predictor(model), case.batch(4, 0)["x"]
    before = predict(x)
    step = TrainStep(model, case.loss, Adam(model.named_parameters()), mode="interpreter")
    step(case.batch(8, 0), step=0, lr=0.1)
    after = predict(x)
    assert after.tobytes() == eagerly(model, x).tobytes()
    assert after.tobytes() != before.tobytes()
    model.load_state_dict({name: a * 0 for name, a in model.state_dict().items()})
    assert not predict(x).any()


def test_parameters_with_other_arrays_are_bound_anew() -> None:
    model = nn.Linear(3, 2, bias=False).init(0)
    predict, x = predictor(model), np.ones((1, 3), "float32")
    predict(x)
    model.weight.data = np.asfortranarray(np.full((2, 3), 2.0, "float32"))
    assert predict(x).tolist() == [[6.0, 6.0]]


def test_averaged_weights_can_take_the_place_of_the_last_ones() -> None:
    case = CASES["residual"]
    model = case.build().init(0)
    step = TrainStep(model, case.loss, Adam(model.named_parameters()), ema=0.5, mode="interpreter")
    predict = predictor(model, weights=step.averages)
    for n in range(3):
        step(case.batch(8, n), step=n, lr=0.1)
    x = case.batch(4, 0)["x"]
    other = case.build().init(0)
    other.load_state_dict({**model.state_dict(), **step.averages})
    assert predict(x).tobytes() == eagerly(other, x).tobytes()
    assert predict(x).tobytes() != eagerly(model, x).tobytes()


def test_threads_may_share_it() -> None:
    model = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh()).init(0)
    predict = predictor(model)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((256, 64)).astype("float32") for _ in range(24)]
    expected = [eagerly(model, x).tobytes() for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        assert [a.tobytes() for a in pool.map(predict, inputs)] == expected


def test_nothing_is_recorded_for_gradients() -> None:
    model = nn.Linear(3, 2).init(0)
    graphs = predictor(model).plan(np.ones((1, 3), "float32"))
    assert {launch.origin.passive for launch in graphs.launches} == {True}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"wieght": np.zeros((2, 3), "float32")}, "wieght"),
        ({"weight": np.zeros((3, 2), "float32")}, "expected"),
        ({"weight": np.zeros((2, 3))}, "expected"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(StateError, match=message):
        predictor(nn.Linear(3, 2).init(0), weights=weights)


def test_a_wrong_shape_is_the_error_of_the_layer() -> None:
    with pytest.raises(ShapeError, match="Linear: expected"):
        predictor(nn.Linear(3, 2).init(0))(np.ones((1, 4), "float32"))


def test_an_uninitialised_model_says_what_to_do() -> None:
    with pytest.raises(StateError, match=r"init\(seed=0\)"):
        predictor(nn.Linear(3, 2))(np.ones((1, 3), "float32"))


def test_draws_in_evaluation_need_a_stream_of_their_own() -> None:
    def noisy(model: nn.Module, x: Tensor) -> Tensor:
        with engine.random.stream(seed=1):
            return model(x) + engine.rand(2)

    predict = predictor(nn.Linear(3, 2).init(0), function=noisy)
    x = np.ones((1, 3), "float32")
    assert predict(x).tobytes() == predict(x).tobytes()

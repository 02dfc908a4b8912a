"""Whole steps as C: beside the interpreter, the same bytes for any number of threads, resumed."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from engine.backend.cpu.native import Native
from engine.compile import Inference, TrainStep
from engine.errors import AxisError
from engine.optim import SGD, Adam
from tests.engine.backend.cpu.programs import compiler
from tests.engine.compile.models import CASES

OPTIONS: dict[str, Any] = {"ema": 0.9, "clip_norm": 0.5}


@pytest.fixture(autouse=True)
def _compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADWORKS_COMPILER", compiler().command[0])


def make(name: str, seed: int = 3, *, plain: bool = False, **options: Any) -> TrainStep:
    """plain: gradients as they are; Adam would blow up the rounding of those that are zero."""
    case = CASES[name]
    model = case.build().init(seed)
    kind: Any = SGD if plain else Adam
    optimizer = kind(model.named_parameters(), lr=1e-2)
    return TrainStep(model, case.loss, optimizer, seed=5, **{**OPTIONS, **options})


def run(step: TrainStep, name: str, steps: range, size: int = 32) -> list[bytes]:
    """The results of each step, as bytes."""
    found = []
    for n in steps:
        results = step(CASES[name].batch(size, n), step=n, lr=1e-2 / (1 + n))
        found.append(b"".join(np.asarray(v).tobytes() for v in results.values()))
    return found


def same(one: TrainStep, other: TrainStep) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert list(first) == list(second)
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_the_interpreter(name: str) -> None:
    step, other = make(name, threads=2, plain=True), make(name, mode="interpreter", plain=True)
    for n in range(5):
        batch = CASES[name].batch(32, n)
        found, expected = (s(batch, step=n, lr=1e-2) for s in (step, other))
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert found["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-3)
    assert step.backend.startswith("c (")
    state, wanted = step.state_dict(), other.state_dict()
    for key in wanted:
        np.testing.assert_allclose(state[key], wanted[key], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_threads_gives_the_same_bytes(name: str) -> None:
    one, two, many = (make(name, threads=n) for n in (1, 2, 5))
    expected = run(one, name, range(6), 200)
    assert run(two, name, range(6), 200) == expected
    assert run(many, name, range(6), 200) == expected
    same(one, two)
    same(one, many)


@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_resuming_gives_the_bytes_of_a_run_without_a_break(name: str) -> None:
    straight = make(name, threads=2)
    expected = run(straight, name, range(8))
    first = make(name, threads=2)
    run(first, name, range(5))
    second = make(name, seed=99, threads=1)
    second.load_state_dict(first.state_dict())
    assert run(second, name, range(5, 8)) == expected[5:]
    same(second, straight)


def test_all_of_a_small_model_is_compiled() -> None:
    step = make("mlp")
    run(step, "mlp", range(1))
    (runner,) = step._runners._ready.values()
    assert isinstance(runner, Native)
    assert runner.compiled == len(runner.plan.launches)


def test_every_launch_of_a_timed_run_is_told_once() -> None:
    step = make("convnet")
    run(step, "convnet", range(1))
    (runner,) = step._runners._ready.values()
    assert isinstance(runner, Native)
    batch = CASES["convnet"].batch(32, 0)
    scalars = [np.asarray(n, kind) for n, kind in ((5, "u8"), (1, "u8"), (1e-3, "f8"))]
    found = runner.timed([*batch.values(), *scalars])
    launches = {index for indices, _ in found for index in indices}
    assert launches == set(range(len(runner.plan.launches)))
    assert all(seconds >= 0 for _, seconds in found)


def test_a_bad_class_stops_the_step_and_the_next_goes_on() -> None:
    step, other = make("mlp"), make("mlp")
    bad = CASES["mlp"].batch(32, 0)
    bad["y"][3] = 77
    before = step.state_dict()
    with pytest.raises(AxisError, match="class 77"):
        step(bad, step=0, lr=0.1)
    after = step.state_dict()
    assert all(after[name].tobytes() == before[name].tobytes() for name in before)
    assert run(step, "mlp", range(3)) == run(other, "mlp", range(3))


def test_threads_of_the_caller_may_run_models_at_once() -> None:
    models = [CASES["mlp"].build().init(n) for n in range(4)]
    x = CASES["mlp"].batch(64, 0)["x"]
    expected = [Inference(m)(x).tobytes() for m in models]
    runners = [Inference(m, threads=2) for m in models]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            assert [a.tobytes() for a in pool.map(lambda r: r(x), runners)] == expected


def test_wrong_dtypes_are_refused() -> None:
    step = make("residual")
    run(step, "residual", range(1))
    (native,) = step._runners._ready.values()
    batch = CASES["residual"].batch(32, 0)
    with pytest.raises(TypeError):
        native.run([batch["x"].astype("float64"), batch["y"], *[np.zeros(())] * 3])

"""Large inputs that are read where the caller has them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine import nn
from engine.backend.cpu.borrowed import LEAST, readers_of
from engine.backend.cpu.kernels import EMITTERS, one
from engine.compile import Inference
from engine.compile.plan import make_plan
from engine.dispatch import apply
from engine.tensor import Tensor
from tests.engine.backend.cpu.programs import compiler, native, of_function

SHAPE = (96, 100)
assert 4 * SHAPE[0] * SHAPE[1] >= LEAST


@pytest.fixture(autouse=True)
def _compiler() -> None:
    compiler()


def numbers(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def predictor(function: Callable[[Tensor], Any], mode: Any = "graph") -> Inference:
    return Inference(nn.ReLU(), function=lambda _, x: function(x), mode=mode, threads=2)


def moved(array: np.ndarray, start: int) -> np.ndarray:
    """The same numbers, `start` bytes into memory of their own."""
    memory = np.zeros(array.nbytes + 64, np.uint8)
    found = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    found[...] = array
    return found


def test_every_way_that_numbers_may_lie() -> None:
    x = numbers()
    run = predictor(lambda x: (x * 2 + 1).sum(1))
    expected = run(x).tobytes()
    wide = np.zeros((SHAPE[0], 2 * SHAPE[1]), np.float32)
    wide[:, ::2] = x
    ways = [np.asfortranarray(x), wide[:, ::2], x[::-1].copy()[::-1], moved(x, 1), moved(x, 4), x]
    for way in ways:
        assert run(way).tobytes() == expected
        assert run(x).tobytes() == expected  # the address goes back as well


def test_another_array_at_every_run() -> None:
    run = predictor(lambda x: x.cumsum(0) - x)
    plain = predictor(lambda x: x.cumsum(0) - x, "interpreter")
    arrays = [numbers(seed) for seed in range(6)]
    for x in [*arrays, *arrays]:
        np.testing.assert_allclose(run(x), plain(x), rtol=1e-4, atol=1e-5)


def test_the_callers_numbers_stay_what_they_are() -> None:
    x = numbers()
    before = x.tobytes()
    x.flags.writeable = False
    run = predictor(lambda x: ((x.relu() + 1).sqrt(), x.cumsum(1)))
    for _ in range(3):
        run(x)
    assert x.tobytes() == before


def test_a_result_that_is_an_input_is_a_copy() -> None:
    x = numbers()
    run = predictor(lambda x: (x, x[2:5], x.sum()))
    whole, part, _ = run(x)
    held = x.copy()
    x[...] = 0
    np.testing.assert_array_equal(whole, held)
    np.testing.assert_array_equal(part, held[2:5])


def test_small_inputs_and_those_that_are_results_are_copied() -> None:
    def plan_of(function: Any, *arrays: np.ndarray) -> Any:
        return make_plan(of_function(function, arrays))

    x = numbers()
    assert list(readers_of(plan_of(lambda x: x.sum(1), x))) == [0]
    assert not readers_of(plan_of(lambda x: x.sum(1), x[:4]))
    assert not readers_of(plan_of(lambda x: (x, x.sum(1)), x))


def test_a_reader_is_known_by_its_place_in_the_input() -> None:
    plan = make_plan(of_function(lambda x: x[7:].sum(1), [numbers()]))
    assert readers_of(plan) == {0: [(0, 0, 7 * 4 * SHAPE[1])]}


def test_others_of_the_same_place_are_not_readers() -> None:
    """What lies there later, when the input is forgotten, is read in the arena."""
    x = numbers()
    graph = of_function(lambda x: (x * 2).cumsum(0).cumsum(1) + 1, [x])
    plan = make_plan(graph)
    (readers,) = readers_of(plan).values()
    assert [launch for launch, _, _ in readers] == [0]
    np.testing.assert_allclose(
        native(plan).run([x])[0], (x * 2).cumsum(0).cumsum(1) + 1, rtol=1e-4, atol=1e-3
    )


def test_types_are_looked_at() -> None:
    plan = make_plan(of_function(lambda x: x.sum(1), [numbers()]))
    runner = native(plan)
    with pytest.raises(TypeError, match="must be float32, got float64"):
        runner.run([numbers().astype("float64")])
    with pytest.raises(ValueError, match="broadcast"):
        runner.run([numbers(shape=(SHAPE[0] - 1, SHAPE[1]))])
    assert runner.run([numbers()])[0].shape == SHAPE[:1]


def test_references_find_the_numbers_where_a_kernel_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(EMITTERS, "softmax", lambda launch: one("GW_REFUSE();"))

    def f(x: Tensor) -> Tensor:
        return apply("softmax", x, axis=-1).cumsum(0) * x

    run, plain, x = predictor(f), predictor(f, "interpreter"), numbers()
    np.testing.assert_allclose(run(x), plain(x), rtol=1e-5)
    assert run.fallback == "a kernel of softmax refused numbers that its reference takes"

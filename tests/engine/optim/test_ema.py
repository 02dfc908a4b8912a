"""Moving averages."""

import numpy as np
import pytest

from engine.errors import StateError
from engine.optim import EMA
from engine.tensor import Tensor


def test_the_average_follows_the_formula() -> None:
    p = Tensor(np.array([1.0, -2.0]))
    ema = EMA([("w", p)], 0.9, warmup=False)
    expected = p.numpy().copy()
    assert set(ema.averages) == {"w"}
    for step in range(20):
        p.data[...] = [np.sin(step), step]
        ema.update()
        expected = 0.9 * expected + 0.1 * p.numpy()
        np.testing.assert_allclose(ema.averages["w"].numpy(), expected, rtol=1e-12)


def test_with_warmup_the_beginning_is_soon_forgotten() -> None:
    ema = EMA([("w", Tensor(np.zeros(1)))], 0.999)
    assert ema.weight(1) == pytest.approx(1 - 2 / 11)
    assert ema.weight(10**6) == pytest.approx(0.001)


def test_the_model_has_its_averages_for_a_while() -> None:
    p = Tensor(np.ones(2))
    ema = EMA([("w", p)], 0.5, warmup=False)
    ema.update()
    memory = p.data
    p.data[...] = 3.0
    ema.update()
    with ema.swapped():
        np.testing.assert_array_equal(p.numpy(), 2.0)
    np.testing.assert_array_equal(p.numpy(), 3.0)
    assert p.data is memory


def test_a_restored_average_goes_on_to_the_same_bytes() -> None:
    p, q = Tensor(np.ones(2, np.float32)), Tensor(np.ones(2, np.float32))
    first, second = EMA([("w", p)]), EMA([("w", q)])
    p.data[...] = 2.0
    first.update()
    second.load_state_dict(first.state_dict())
    p.data[...] = q.data[...] = 0.3
    first.update()
    second.update()
    assert first.averages["w"].numpy().tobytes() == second.averages["w"].numpy().tobytes()


def test_a_state_that_does_not_fit_is_refused() -> None:
    ema = EMA([("w", Tensor(np.ones(2)))])
    with pytest.raises(StateError, match=r"misshapen: average\.w"):
        ema.load_state_dict({"updates": np.array(1), "average.w": np.ones(3)})


def test_a_decay_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="decay"):
        EMA([], 1.0)

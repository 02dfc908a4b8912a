import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import engine
from engine.backend.philox import philox, words
from engine.errors import RandomError, ShapeError
from engine.random import stream

#: Counter, key and result of Random123's kat_vectors for philox4x32 with 10 rounds.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def _numbers(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_gives_the_known_answers(counter: str, key: str, result: str) -> None:
    left, right = _numbers(key)
    got = philox(np.array(_numbers(counter), np.uint64)[:, None], (left, right))
    assert got[:, 0].tolist() == _numbers(result)


def test_words_follow_the_layout_of_the_counter() -> None:
    seed, step, draw = 0x0123456789ABCDEF, 0x1122334455667788, 5
    counter = np.array([[2], [draw], [0x55667788], [0x11223344]], np.uint64)
    block = philox(counter, (0x89ABCDEF, 0x01234567))[:, 0]
    assert words(seed, step, draw, 12)[8:].tolist() == block.tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(1, 40_000))
def test_a_word_does_not_depend_on_how_many_are_drawn(seed: int, step: int, count: int) -> None:
    longer = words(seed, step, 0, count + 5000)
    np.testing.assert_array_equal(words(seed, step, 0, count), longer[:count])


def test_the_same_seed_and_step_draw_the_same_and_others_do_not() -> None:
    def drawn(seed: int, step: int) -> list[float]:
        with stream(seed=seed, step=step):
            return [*engine.rand(3).tolist(), *engine.rand(3).tolist()]

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(1, 3)
    assert drawn(1, 2) != drawn(2, 2)
    first = drawn(1, 2)
    assert first[:3] != first[3:]


def test_streams_nest_and_come_back() -> None:
    with stream(seed=1):
        plain = [engine.rand(2).tolist(), engine.rand(2).tolist()]
    with stream(seed=1):
        first = engine.rand(2).tolist()
        with stream(seed=9):
            engine.rand(2)
        assert [first, engine.rand(2).tolist()] == plain


def test_a_draw_without_a_stream_says_how_to_open_one() -> None:
    with pytest.raises(RandomError, match=r"with engine\.random\.stream\(seed=0\)"):
        engine.rand(2)
    x = engine.ones(2)
    with pytest.raises(RandomError):
        engine.dropout(x, 0.5)
    assert engine.dropout(x, 0.5, training=False) is x


def test_seed_and_step_may_be_tensors() -> None:
    with stream(seed=5, step=7):
        numbers = engine.randn(4).tolist()
    with stream(seed=engine.tensor(5), step=engine.tensor(7)):
        assert engine.randn(4).tolist() == numbers


def _kolmogorov(sample: np.ndarray, cdf: np.ndarray) -> float:
    """The largest distance between the sample's distribution and `cdf` at its sorted points."""
    ranks = np.arange(1, len(sample) + 1) / len(sample)
    return float(np.abs(ranks - cdf).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions_are_those_they_are_called(dtype: str) -> None:
    from scipy import special

    with stream(seed=3):
        even = np.sort(engine.rand(200_000, dtype=dtype).numpy())
        bell = np.sort(engine.randn(200_000, dtype=dtype).numpy())
    assert even.dtype == dtype
    assert _kolmogorov(even, even) < 0.005
    assert _kolmogorov(bell, special.ndtr(bell)) < 0.005
    assert even.min() >= 0
    assert even.max() < 1


def test_pairs_of_normal_numbers_are_independent() -> None:
    with stream(seed=3):
        pairs = engine.randn(100_000, 2).numpy()
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.01
    assert abs(np.corrcoef((pairs**2).T)[0, 1]) < 0.01


@settings(max_examples=30, deadline=None)
@given(st.integers(-(2**40), 2**40), st.sampled_from([1, 2, 7, 2**31, 2**33 + 1]))
def test_integers_stay_in_their_range(low: int, span: int) -> None:
    with stream(seed=1):
        found = engine.randint(low, low + span, (1000,)).numpy()
    assert found.min() >= low
    assert found.max() < low + span
    if span <= 7:
        assert set(found - low) == set(range(span))


def test_an_empty_range_is_refused() -> None:
    with stream(seed=0), pytest.raises(ShapeError, match=r"no integer is in \[3, 3\)"):
        engine.randint(3, 3, (2,))


def test_permutations_hold_everything_once() -> None:
    with stream(seed=1):
        first, second = engine.randperm(1000).numpy(), engine.randperm(1000).numpy()
    assert sorted(first) == list(range(1000))
    assert first.tolist() != second.tolist()
    assert abs(np.corrcoef(first, np.arange(1000))[0, 1]) < 0.1


def test_bernoulli_and_multinomial_follow_their_weights() -> None:
    with stream(seed=2):
        coins = engine.bernoulli(engine.full(100_000, value=0.3))
        places = engine.multinomial(engine.tensor([0.0, 1.0, 3.0]), 40_000, replacement=True)
        apart = engine.multinomial(engine.tensor([[5.0, 0.0, 1.0, 1.0]] * 2000), 3)
    assert abs(coins.mean().item() - 0.3) < 0.01
    shares = np.bincount(places.numpy(), minlength=3) / 40_000
    np.testing.assert_allclose(shares, [0, 0.25, 0.75], atol=0.01)
    rows = np.sort(apart.numpy(), axis=1)
    assert (rows == [0, 2, 3]).all()
    assert abs((apart.numpy()[:, 0] == 0).mean() - 5 / 7) < 0.04


def test_multinomial_refuses_more_than_there_is() -> None:
    with stream(seed=0), pytest.raises(ShapeError, match="3 different places out of 2"):
        engine.multinomial(engine.ones(2), 3)


def test_dropout_scales_what_it_keeps_and_draws_its_mask_again_for_the_gradient() -> None:
    x = engine.ones(200, 100).requires_grad_()
    with stream(seed=1, step=4):
        y = engine.dropout(x, 0.25)
    kept = y.numpy() != 0
    assert abs(kept.mean() - 0.75) < 0.01
    np.testing.assert_allclose(y.numpy()[kept], 1 / 0.75, rtol=1e-6)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_dropout_of_everything_and_of_nothing() -> None:
    x = engine.ones(4)
    assert engine.dropout(x, 1.0).tolist() == [0.0] * 4
    assert engine.dropout(x, 0.0) is x
    with pytest.raises(ShapeError, match="no probability"):
        engine.dropout(x, 1.5)

"""Orders are functions of (seed, epoch)."""

import numpy as np
import pytest

from engine.data import permutation


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_a_permutation_has_every_index_once(n: int) -> None:
    found = permutation(n, seed=3, epoch=1)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(np.sort(found), np.arange(n))


def test_the_order_is_known_for_good() -> None:
    """Another order here means that no running job can resume."""
    assert permutation(10, seed=0, epoch=0).tolist() == [7, 2, 0, 5, 3, 8, 4, 9, 1, 6]
    assert permutation(10, seed=1, epoch=7).tolist() == [8, 2, 9, 1, 7, 0, 6, 5, 4, 3]


def test_seed_and_epoch_both_change_the_order() -> None:
    orders = {tuple(permutation(50, seed=s, epoch=e)) for s in range(4) for e in range(4)}
    assert len(orders) == 16


def test_every_place_is_as_likely_for_every_index() -> None:
    n, rounds = 8, 4000
    counts = np.zeros((n, n))
    for epoch in range(rounds):
        counts[np.arange(n), permutation(n, seed=5, epoch=epoch)] += 1
    expected = rounds / n
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 100.0  # 49 degrees of freedom: 99.99 % lie below 95


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        permutation(-1, seed=0, epoch=0)

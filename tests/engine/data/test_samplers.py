"""Samplers visit what they promise."""

import numpy as np
import pytest

from engine.data import (
    BucketSampler,
    DistributedSampler,
    Sampler,
    SequentialSampler,
    ShuffledSampler,
    StratifiedSampler,
    WeightedSampler,
)

LABELS = np.repeat([0, 1, 2], [60, 30, 10])
LENGTHS = np.arange(203) * 37 % 100
EACH_ONCE: list[Sampler] = [
    SequentialSampler(100),
    ShuffledSampler(100, seed=1),
    StratifiedSampler(LABELS, seed=2),
    BucketSampler(LENGTHS, batch_size=8, seed=3),
    WeightedSampler(np.arange(1, 30), replacement=False, seed=4),
    DistributedSampler(ShuffledSampler(9), rank=0, world=1),
]


@pytest.mark.parametrize("sampler", EACH_ONCE, ids=lambda s: type(s).__name__)
def test_each_example_comes_once(sampler: Sampler) -> None:
    for epoch in range(3):
        order = sampler.order(epoch)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(len(sampler)))


@pytest.mark.parametrize("sampler", EACH_ONCE[1:], ids=lambda s: type(s).__name__)
def test_an_epoch_repeats_itself_and_differs_from_the_next(sampler: Sampler) -> None:
    np.testing.assert_array_equal(sampler.order(2), sampler.order(2))
    assert sampler.order(2).tolist() != sampler.order(3).tolist()


def test_weights_set_how_often_an_example_is_drawn() -> None:
    weights = np.array([0.0, 1.0, 3.0, 0.0, 6.0, 0.0])
    order = WeightedSampler(weights, num_samples=20_000, seed=1).order(0)
    share = np.bincount(order, minlength=6) / 20_000
    np.testing.assert_allclose(share, weights / 10, atol=0.02)


def test_without_replacement_heavy_examples_come_first() -> None:
    sampler = WeightedSampler([1.0, 9.0, 0.0], num_samples=2, replacement=False)
    firsts = [int(sampler.order(epoch)[0]) for epoch in range(2000)]
    assert abs(np.mean(firsts) - 0.9) < 0.03
    assert all(sorted(sampler.order(epoch)) == [0, 1] for epoch in range(20))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.0, 0.0], "above 0"),
        ([1.0, -1.0], "finite numbers from 0"),
        ([np.nan], "finite numbers from 0"),
        ([[1.0]], "one row"),
    ],
)
def test_weights_that_cannot_be_drawn_from_are_refused(weights: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightedSampler(weights)


def test_more_different_examples_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="2 different examples were asked of 1"):
        WeightedSampler([1.0, 0.0], replacement=False)


def test_every_batch_has_about_the_proportions_of_the_whole() -> None:
    order = StratifiedSampler(LABELS, seed=0).order(0)
    for batch in LABELS[order].reshape(10, 10):
        counts = np.bincount(batch, minlength=3)
        assert np.all(np.abs(counts - [6, 3, 1]) <= 1), counts


def test_stratified_labels_may_be_words() -> None:
    words = np.array(["b", "a", "b", "b", "a", "b"])
    np.testing.assert_array_equal(np.sort(StratifiedSampler(words).order(0)), np.arange(6))


def test_batches_of_a_bucket_hold_similar_lengths_and_only_the_last_is_short() -> None:
    order = BucketSampler(LENGTHS, batch_size=10, window=10, seed=0).order(0)
    spans = [np.ptp(LENGTHS[order[i : i + 10]]) for i in range(0, 200, 10)]
    assert np.mean(spans) < 20
    assert len(order) == 203


@pytest.mark.parametrize(("drop_last", "each"), [(False, 4), (True, 3)])
def test_shares_are_equal_and_cover_the_whole(drop_last: bool, each: int) -> None:
    whole = ShuffledSampler(10, seed=1)
    shares = [DistributedSampler(whole, rank, 3, drop_last).order(0) for rank in range(3)]
    assert [len(share) for share in shares] == [each] * 3
    seen = np.concatenate(shares)
    if drop_last:
        assert len(set(seen)) == 9
    else:
        assert set(seen) == set(range(10))


def test_a_rank_outside_the_world_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        DistributedSampler(SequentialSampler(3), rank=2, world=2)

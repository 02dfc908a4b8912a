import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from spec.data.config import ColumnSplit, FractionSplit
from spec.data.splits import PARTS, assign, deal, keys, sizes

SHARES = st.tuples(st.floats(0, 0.4), st.floats(0, 0.4))


def test_the_keys_never_change():
    assert keys(np.arange(3), 7).tolist() == [
        5802186646602307193,
        3804069750978119562,
        1935967939234621812,
    ]


def test_keys_are_spread_evenly_and_differ_by_seed():
    first, second = keys(np.arange(100_000), 0), keys(np.arange(100_000), 1)

    assert len(set(first.tolist())) == 100_000
    assert not np.array_equal(first, second)
    counts = np.bincount((first >> np.uint64(60)).astype(int), minlength=16)
    assert abs(counts - 6250).max() < 6 * np.sqrt(6250)


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(1, 300), shares=SHARES, seed=st.integers(0, 2**63 - 1), k=st.integers(1, 9))
def test_every_row_is_in_exactly_one_part_of_the_promised_size(rows, shares, seed, k):
    classes = np.arange(rows) % k if k > 1 else None

    parts = deal(np.arange(rows), *shares, seed=seed, classes=classes)

    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(rows))
    assert tuple(len(parts[name]) for name in PARTS) == sizes(rows, *shares)
    again = deal(np.arange(rows), *shares, seed=seed, classes=classes)
    assert all(np.array_equal(parts[name], again[name]) for name in PARTS)


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(1, 200), min_size=1, max_size=6),
    shares=SHARES,
    seed=st.integers(0, 1000),
)
def test_stratified_parts_have_the_shares_of_every_class(counts, shares, seed):
    classes = np.repeat(np.arange(len(counts)), counts)
    total = len(classes)

    parts = deal(np.arange(total), *shares, seed=seed, classes=classes)

    for name in PARTS:
        got = np.bincount(classes[parts[name]], minlength=len(counts))
        share = len(parts[name]) / total
        assert np.abs(got - np.array(counts) * share).max() <= 1 + len(counts)


def test_equal_classes_are_shared_out_exactly():
    classes = np.arange(400) % 4

    parts = deal(np.arange(400), 0.25, 0.5, seed=5, classes=classes)

    for name, rows in zip(PARTS, (25, 25, 50), strict=True):
        assert np.bincount(classes[parts[name]]).tolist() == [rows] * 4


def test_a_class_of_one_row_goes_where_the_middle_is():
    classes = np.array([0] * 99 + [1])

    assert 99 in deal(np.arange(100), 0.2, 0.2, seed=0, classes=classes)["train"]
    assert 99 in deal(np.arange(100), 0.4, 0.4, seed=0, classes=classes)["validation"]


def test_another_seed_deals_otherwise():
    first, second = (deal(np.arange(100), 0.2, 0.2, seed=seed) for seed in (0, 1))

    assert not np.array_equal(first["test"], second["test"])


def test_the_seed_of_the_split_goes_before_that_of_the_training():
    own = FractionSplit(test=0.5, seed=3)
    rows = np.arange(50)

    first, second = (assign(rows, own, seed=seed)["test"] for seed in (1, 2))
    borrowed = assign(rows, FractionSplit(test=0.5), seed=3)["test"]

    assert np.array_equal(first, second)
    assert np.array_equal(first, borrowed)


@pytest.mark.parametrize("stratify", [False, True])
def test_a_fraction_is_taken_from_the_rows_named_for_training(stratify):
    split = ColumnSplit(column="part", train="a", test="b", validation=0.25, stratify=stratify)
    named = {"train": np.arange(0, 80), "validation": np.arange(0), "test": np.arange(80, 100)}

    parts = assign(np.arange(100), split, seed=0, named=named, classes=np.arange(100) % 2)

    assert [len(parts[name]) for name in PARTS] == [60, 20, 20]
    assert np.array_equal(parts["test"], named["test"])
    assert np.array_equal(np.union1d(parts["train"], parts["validation"]), named["train"])

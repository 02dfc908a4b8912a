"""What a step or a forward pass is fed."""

from typing import Any

import numpy as np
import pytest

import engine
from engine.compile.leaves import read, types_of

X, Y = np.zeros((3, 2), np.float32), np.zeros(3, np.int64)
TREES = [{"x": X, "y": Y}, (X, Y), [X, Y], {"in": [X], "y": Y}, (X, 2.0), X]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_arrays_come_in_the_order_of_the_tree(tree: Any) -> None:
    arrays, _ = read(tree)
    expected = [X, Y] if len(arrays) == 2 else [X]
    assert all(one is other for one, other in zip(arrays, expected, strict=True))


def test_trees_of_one_form_and_type_share_a_key() -> None:
    assert read({"x": X, "y": Y})[1] == read({"x": X + 1, "y": Y})[1]
    assert read((X, Y))[1] == read((X + 1, Y))[1]


def test_other_forms_shapes_and_types_have_other_keys() -> None:
    further = [
        {"x": X[:2], "y": Y}, {"x": X.astype(np.float64), "y": Y}, {"y": Y, "x": X},
        {"a": X, "y": Y}, (X[:2], Y), {0: X, 1: Y}, (X,),
    ]  # fmt: skip
    keys = [read(tree)[1] for tree in [*TREES, *further]]
    assert len(set(keys)) == len(keys)


def test_tensors_and_numbers_are_read_as_arrays() -> None:
    arrays, _ = read({"x": engine.tensor([1.0, 2.0]), "y": np.float32(3)})
    assert [a.tolist() for a in arrays] == [[1.0, 2.0], 3.0]
    assert types_of({"x": engine.tensor([1.0, 2.0])})["x"].shape == (2,)

"""Datasets gather rows."""

import numpy as np
import pytest

from engine.data import ArrayDataset, SampleDataset, default_collate
from engine.errors import AxisError, ShapeError


def test_rows_come_in_the_order_asked_for() -> None:
    dataset = ArrayDataset({"x": np.arange(12).reshape(4, 3), "y": np.arange(4)})
    batch = dataset.gather(np.array([3, 0, 3]))
    np.testing.assert_array_equal(batch["x"], [[9, 10, 11], [0, 1, 2], [9, 10, 11]])
    np.testing.assert_array_equal(batch["y"], [3, 0, 3])
    assert len(dataset) == 4


def test_gathered_rows_are_copies() -> None:
    source = np.zeros(4)
    ArrayDataset({"x": source}).gather(np.array([1]))["x"][:] = 5.0
    assert source.sum() == 0.0


def test_rows_can_be_written_into_given_memory() -> None:
    dataset = ArrayDataset({"x": np.arange(5)})
    out = {"x": np.zeros(2, np.int64)}
    assert dataset.gather(np.array([4, 2]), out=out) is out
    np.testing.assert_array_equal(out["x"], [4, 2])


@pytest.mark.parametrize("rows", [[5], [-1]])
def test_a_row_that_is_not_there_is_refused(rows: list[int]) -> None:
    dataset = ArrayDataset({"x": np.arange(5)})
    with pytest.raises(AxisError, match="of a dataset of 5"):
        dataset.gather(np.array(rows))
    with pytest.raises(AxisError):
        dataset.gather(np.array(rows), out={"x": np.zeros(1, np.int64)})


@pytest.mark.parametrize(
    "arrays", [{}, {"x": np.zeros(3), "y": np.zeros(4)}, {"x": np.zeros(())}], ids=str
)
def test_arrays_without_equally_many_rows_are_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(ShapeError):
        ArrayDataset(arrays)


def test_a_subset_is_a_dataset_of_those_rows() -> None:
    part = ArrayDataset({"x": np.arange(5)}).subset([4, 1])
    np.testing.assert_array_equal(part.arrays["x"], [4, 1])


def test_rows_made_one_at_a_time_are_collated() -> None:
    dataset = SampleDataset([2, 3, 5], lambda item: {"x": np.full(2, item), "y": item * 0.5})
    batch = dataset.gather(np.array([2, 0]))
    np.testing.assert_array_equal(batch["x"], [[5, 5], [2, 2]])
    np.testing.assert_array_equal(batch["y"], [2.5, 1.0])


def test_a_row_that_does_not_stack_is_named() -> None:
    with pytest.raises(ShapeError, match=r"x of row 1 is \[3\], of row 0 \[2\]"):
        default_collate([{"x": np.zeros(2)}, {"x": np.zeros(3)}])
    with pytest.raises(ShapeError, match="row 1 has"):
        default_collate([{"x": 1}, {"y": 1}])
    with pytest.raises(ShapeError, match="at least one row"):
        default_collate([])

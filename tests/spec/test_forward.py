"""Rows are cut into chunks of a few sizes and every row comes back once, in order."""

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st

from engine import Tensor
from spec.forward import SIZES, Forward, chunks
from spec.network import Network


class Double(Network):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["x"] + batch["x"]


@given(st.integers(1, 2000))
def test_chunks_cover_every_row_once(rows: int) -> None:
    found = list(chunks(rows))
    assert found[0][0] == 0
    assert all(size in SIZES for _, size in found)
    for (start, size), (after, _) in itertools.pairwise(found):
        assert start + size == after
    start, size = found[-1]
    assert start < rows <= start + size


@pytest.mark.parametrize("rows", [1, 3, 16, 100, 300, 513])
def test_every_row_comes_back_in_order(rows: int) -> None:
    x = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    found = Forward(Double(["x"], {}))({"x": x, "other": np.zeros(1)})
    np.testing.assert_array_equal(found, 2 * x)


def test_no_rows() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        Forward(Double(["x"], {}))({"x": np.zeros((0, 2), np.float32)})

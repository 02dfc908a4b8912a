"""Indexing in C against its references, and the errors that users read."""

import numpy as np
import pytest

import engine
from engine.dispatch import apply
from engine.errors import AxisError, EngineError
from engine.ir.passes.fuse import fuse
from engine.testing.samples import samples
from tests.engine.backend.cpu.programs import check, close, interpreted, of_function, of_op, run

NAMES = ("take", "embedding", "add_rows", "gather", "add_along", "scatter", "one_hot")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def places(high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, high, shape)


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    for arrays, attrs in samples()[name]:
        check(name, [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays], **attrs)


def test_rows_of_every_type():
    index = places(50, 70, 3)
    check("embedding", [numbers(50, 64), index.astype(np.int32)], padding_idx=None)
    check("take", [numbers(3, 50), index], axis=1)
    check("take", [places(9, 50, 3), index], axis=0)
    check("take", [numbers(50, 3) > 0, index], axis=0)


def test_rows_added_up_by_place():
    index = places(50, 700, 3)
    check("add_rows", [numbers(700, 3, 17), index], axis=0, size=50)
    check("add_rows", [numbers(2, 700, 3, 5), index], axis=1, size=51)
    check("add_rows", [numbers(700, 3, 600), index], axis=0, size=50)
    check("add_rows", [numbers(700, 3), index[:, 0].copy()], axis=0, size=3000)
    check("add_rows", [numbers(700, 64), index[:, 0].copy()], axis=0, size=3000)
    check("add_rows", [numbers(700), index[:, 0].astype(np.uint32)], axis=0, size=51)


@pytest.mark.parametrize("size", [3, 50, 2000])
def test_columns_of_a_matrix_are_added_up_where_they_lie(size):
    def f(x, index):
        found = apply("add_rows", x[:, 5:22], index[:, 1], axis=0, size=size)
        return found, apply("take", found, index[:, 2], axis=0)

    given = [numbers(700, 40), places(size, 700, 3)]
    graph = of_function(f, given)
    for one, other in zip(run(graph, given), interpreted(graph, given), strict=True):
        close(one, other)


@pytest.mark.parametrize("count", [100_000, 16_000])
def test_many_rows_of_one_place_keep_their_digits(count):
    rows = np.full((count, 2), 0.1, np.float32)
    arrays = [rows, np.zeros(count, np.int64)]
    (found,) = run(of_op("add_rows", arrays, axis=0, size=2), arrays)
    close(found, np.array([[count / 10, count / 10], [0, 0]], np.float32), 1e-6)


@pytest.mark.parametrize("wrong", [[1, 2], [0, 5, 3], [0, 9]])
def test_offsets_of_bags_that_make_no_sense_are_refused(wrong):
    arrays = [np.array(wrong)]
    with pytest.raises((EngineError, AxisError), match=r"offsets"):
        run(of_op("bag_of", arrays, size=8), arrays)


def test_bags_of_every_length():
    check("bag_of", [np.array([0, 0, 3, 3, 8])], size=8)
    check("bag_of", [np.array([0, 4], np.int32)], size=4)


@pytest.mark.parametrize("wrong", [-1, 4])
def test_a_place_outside_is_refused(wrong):
    index = np.array([0, wrong, 1])
    for name, arrays, attrs in (
        ("embedding", [numbers(4, 3), index], {"padding_idx": None}),
        ("add_rows", [numbers(3, 2), index], {"axis": 0, "size": 4}),
        ("gather", [numbers(4), index], {"axis": 0}),
        ("add_along", [numbers(3), index], {"axis": 0, "shape": (4,)}),
    ):
        with pytest.raises(AxisError, match="out of range"):
            run(of_op(name, arrays, **attrs), arrays)


@pytest.mark.parametrize(
    ("rows", "columns", "size"), [(700, 64, 1000), (700, 600, 3), (500, 3, 2), (40, 17, 7)]
)
def test_rows_computed_on_the_way_are_added_up(rows: int, columns: int, size: int) -> None:
    def f(x, y, z, index):
        return apply("add_rows", engine.tanh(x) * y - z, index, axis=0, size=size)

    given = [numbers(rows, columns), numbers(rows, 1), numbers(columns), places(size, rows)]
    graph = fuse(of_function(f, given))
    assert [node.op.name for node in graph.nodes] == ["fused_rows"]
    close(run(graph, given)[0], interpreted(graph, given)[0])


def test_computed_rows_with_a_place_outside_are_refused() -> None:
    def f(x, y, index):
        return apply("add_rows", x * y, index, axis=0, size=4)

    given = [numbers(6, 5), numbers(6, 1), np.array([0, 1, 2, 3, 4, 0])]
    with pytest.raises(AxisError, match="4 is out of range for an axis of 4"):
        run(fuse(of_function(f, given)), given)

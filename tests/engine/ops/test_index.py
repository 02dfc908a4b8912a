from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import engine
from engine.errors import AxisError, DtypeError, EngineError, ShapeError
from engine.ops.segments import halve_segments, sum_rows
from engine.testing import gradcheck


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def places(high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, high, shape)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 300), st.integers(1, 3))
def test_rows_of_one_place_are_added_in_order(size: int, width: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, where = rng.standard_normal((count, width)).astype("f"), rng.integers(0, size, count)
    expected = np.zeros((size, width))
    np.add.at(expected, where, rows.astype(float))
    got = sum_rows(rows, where, size)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_halving_segments_combines_all_of_each() -> None:
    rng = np.random.default_rng(0)
    where = np.sort(rng.integers(0, 9, 200))
    rows = rng.standard_normal((200, 3))
    heads = np.flatnonzero(np.r_[True, where[1:] != where[:-1]])
    expected = np.add.reduceat(rows, heads, axis=0)
    np.testing.assert_allclose(halve_segments(np, rows, heads, np.add), expected, atol=1e-12)
    tops = halve_segments(np, rows, heads, np.maximum)
    np.testing.assert_array_equal(tops, np.maximum.reduceat(rows, heads, axis=0))


def test_sums_do_not_depend_on_what_else_is_in_the_batch() -> None:
    rows, where = array(500, 8).astype("f"), places(7, 500)
    whole = sum_rows(rows, where, 7)
    for place in range(7):
        alone = sum_rows(rows[where == place], where[where == place], 7)
        np.testing.assert_array_equal(alone[place], whole[place])


def test_gather_scatter_and_their_kin() -> None:
    x, index, source = array(4, 3), places(4, 2, 3), array(2, 3, seed=2)
    tensor = engine.tensor(x)
    np.testing.assert_array_equal(
        engine.gather(tensor, 0, index).numpy(), np.take_along_axis(x, index, 0)
    )
    np.testing.assert_array_equal(
        engine.take_along_dim(tensor, index, 0).numpy(), np.take_along_axis(x, index, 0)
    )
    added = x.copy()
    for i, j in np.ndindex(2, 3):
        added[index[i, j], j] += source[i, j]
    got = engine.scatter_add(tensor, 0, index, engine.tensor(source))
    np.testing.assert_allclose(got.numpy(), added)
    line = places(4, 5)
    rows = array(5, 3, seed=3)
    expected = x.copy()
    np.add.at(expected, line, rows)
    np.testing.assert_allclose(
        engine.index_add(tensor, 0, line, engine.tensor(rows)).numpy(), expected
    )
    np.testing.assert_array_equal(engine.index_select(tensor, 1, [2, -3]).numpy(), x[:, [2, 0]])


def test_of_equal_places_the_last_one_stays() -> None:
    got = engine.scatter(engine.zeros(3), 0, [1, 1], engine.tensor([5.0, 7.0]))
    assert got.tolist() == [0.0, 7.0, 0.0]
    assert engine.scatter(engine.zeros(3), 0, [-1], 4.0).tolist() == [0.0, 0.0, 4.0]


@pytest.mark.parametrize("how", ["sum", "mean", "prod", "amax", "amin"])
@pytest.mark.parametrize("include", [True, False])
def test_scatter_reduce_combines_what_meets(how: str, include: bool) -> None:
    x, index, source = array(4, 3), places(4, 6, 3), array(6, 3, seed=2)
    fold = {"sum": np.sum, "mean": np.mean, "prod": np.prod, "amax": np.max, "amin": np.min}[how]
    expected = x.copy()
    for place, column in np.ndindex(4, 3):
        met = source[index[:, column] == place, column]
        if met.size:
            expected[place, column] = fold([*met, x[place, column]] if include else met)

    def run(a: engine.Tensor, b: engine.Tensor) -> engine.Tensor:
        return engine.scatter_reduce(a, 0, index, b, how, include)

    got = run(engine.tensor(x), engine.tensor(source))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)
    gradcheck(run, [x, source])


def test_the_gradient_of_a_product_is_right_where_there_are_zeros() -> None:
    x, source = np.array([2.0, 0.0, 3.0]), np.array([0.0, 5.0, 0.0, 0.0])
    index = np.array([0, 0, 1, 2])
    gradcheck(lambda a, b: engine.scatter_reduce(a, 0, index, b, "prod"), [x, source])
    for zeros in ([0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]):
        gradcheck(lambda a: engine.prod(a, 0), [np.array(zeros)])


def test_integers_combine_too() -> None:
    x = engine.tensor([5, 6])
    got = engine.scatter_reduce(x, 0, [0, 0], engine.tensor([1, 2]), "amax", include_self=False)
    assert got.tolist() == [2, 6]
    with pytest.raises(EngineError, match="'median' is not known"):
        engine.scatter_reduce(x, 0, [0], engine.tensor([1]), "median")


def test_one_hot() -> None:
    got = engine.one_hot(engine.tensor([[0, 2]]), 3, "float32")
    assert got.tolist() == [[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]


def test_the_padding_row_of_an_embedding_learns_nothing() -> None:
    weight = engine.tensor(array(5, 3), requires_grad=True)
    index = np.array([[1, 4, 1], [0, 4, 4]])
    engine.embedding(weight, index, padding_idx=-1).sum().backward()
    assert weight.grad is not None
    np.testing.assert_array_equal(weight.grad.numpy()[:, 0], [1, 2, 0, 0, 0])


def test_masked_select_is_numpys_masking() -> None:
    x = array(3, 4)
    np.testing.assert_array_equal(engine.masked_select(engine.tensor(x), x > 0).numpy(), x[x > 0])
    line = np.array([True, False, True, True])
    got = engine.masked_select(engine.tensor(x), line)
    np.testing.assert_array_equal(got.numpy(), x[:, line].ravel())


def test_filling_keeps_integers_integers() -> None:
    x = engine.arange(3).masked_fill(engine.tensor([True, False, False]), -7)
    assert x.dtype == np.int64
    assert x.tolist() == [-7, 1, 2]


def test_what_is_scattered_over_takes_no_gradient_even_from_infinities() -> None:
    x = engine.ones(3).requires_grad_()
    source = engine.tensor([np.inf], "float32", requires_grad=True)
    engine.scatter(x, 0, [1], source).sum().backward()
    assert x.grad is not None
    assert source.grad is not None
    assert x.grad.tolist() == [1.0, 0.0, 1.0]
    assert source.grad.tolist() == [1.0]


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda x: engine.embedding(x, [0, 9]), AxisError, "index 9 is out of range for an axis of 4"),
    (lambda x: engine.embedding(x, [0.5]), DtypeError, "must hold integers"),
    (lambda x: engine.gather(x, 0, [[5, 0, 0]]), AxisError, "index 5 is out of range"),
    (lambda x: engine.gather(x, 0, [0]), ShapeError, "does not fit into"),
    (lambda x: engine.scatter(x, 0, [[0]], engine.ones(2, 2)), ShapeError, "differ in shape"),
    (lambda x: engine.index_select(x, 2, [0]), AxisError, "axis 2 does not exist"),
    (lambda x: engine.one_hot([0, 4], 4), AxisError, "one_hot: index 4 is out of range"),
    (lambda x: engine.topk(x, 9, 0), ShapeError, "k = 9 of an axis of 4"),
]


@pytest.mark.parametrize(("run", "kind", "text"), REFUSED)
def test_refusals_name_what_is_wrong(run: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        run(engine.ones(4, 3))

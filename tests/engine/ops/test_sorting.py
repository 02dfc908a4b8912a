import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import engine
from engine.testing import gradcheck

ARRAYS = hnp.arrays(
    np.float64, hnp.array_shapes(max_dims=3, max_side=6), elements=st.integers(-3, 3)
)


@settings(max_examples=80, deadline=None)
@given(ARRAYS, st.booleans(), st.data())
def test_orders_are_stable(a: np.ndarray, descending: bool, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-a.ndim, a.ndim - 1))
    values, found = engine.tensor(a).sort(axis, descending)
    expected = np.argsort(-a if descending else a, axis, kind="stable")
    np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(a, expected, axis))


@settings(max_examples=40, deadline=None)
@given(ARRAYS, st.booleans(), st.data())
def test_the_best_few_come_best_first(a: np.ndarray, largest: bool, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, a.ndim - 1))
    k = data.draw(st.integers(0, a.shape[axis]))
    values, found = engine.tensor(a).topk(k, axis, largest)
    ordered = np.sort(a, axis)
    ordered = np.flip(ordered, axis) if largest else ordered
    np.testing.assert_array_equal(values.numpy(), np.take(ordered, range(k), axis))
    np.testing.assert_array_equal(np.take_along_axis(a, found.numpy(), axis), values.numpy())


def test_unsigned_integers_and_nan_sort_in_descending_order() -> None:
    assert engine.tensor([1, 255, 3], "uint8").argsort(descending=True).tolist() == [1, 2, 0]
    x = engine.tensor([1.0, float("nan"), 3.0])
    assert x.argsort(descending=True).tolist() == [1, 2, 0]
    assert x.argsort().tolist() == [0, 2, 1]


def test_gradients_go_back_to_where_the_values_came_from() -> None:
    a = np.random.default_rng(0).permutation(12).reshape(3, 4) / 3
    gradcheck(lambda x: x.sort(0)[0], [a])
    gradcheck(lambda x: x.topk(2, 1)[0], [a])
    gradcheck(lambda x: x.max(1)[0], [a])
    gradcheck(lambda x: x.min(0, keepdims=True)[0], [a])


def test_the_first_of_equals_is_the_maximum() -> None:
    x = engine.tensor([1.0, 4.0, 4.0], requires_grad=True)
    value, place = x.max(0)
    assert place.item() == 1
    value.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 0.0]
    x.grad = None
    x.amax().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("kind", ["int32", "float32"])
def test_running_sums(kind: str) -> None:
    a = np.arange(6).reshape(2, 3).astype(kind)
    got = engine.tensor(a).cumsum(1)
    np.testing.assert_array_equal(got.numpy(), a.cumsum(1))
    assert got.dtype == ("int64" if kind == "int32" else kind)

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import engine
from engine.errors import AxisError, ShapeError
from engine.testing import gradcheck

MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@settings(max_examples=100, deadline=None)
@given(
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=5),
    st.sampled_from(sorted(MODES)),
    st.data(),
)
def test_padding_is_that_of_numpy(shape: tuple[int, ...], mode: str, data: st.DataObject) -> None:
    a = np.random.default_rng(0).standard_normal(shape)
    pairs = [(data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1))) for n in shape]
    widths = [w for pair in reversed(pairs) for w in pair]
    got = engine.pad(engine.tensor(a), widths, mode)
    np.testing.assert_array_equal(got.numpy(), np.pad(a, pairs, mode=MODES[mode]))  # type: ignore[call-overload]


def test_padding_with_a_value_and_cropping() -> None:
    a = np.arange(6.0).reshape(2, 3)
    got = engine.pad(engine.tensor(a), (1, -1), value=7.0)
    assert got.tolist() == [[7, 0, 1], [7, 3, 4]]
    with pytest.raises(ShapeError, match="reflect by"):
        engine.pad(engine.tensor(a), (3, 0), "reflect")
    with pytest.raises(ShapeError, match="mode 'mirror'"):
        engine.pad(engine.tensor(a), (1, 0), "mirror")
    with pytest.raises(ShapeError, match="two an axis"):
        engine.pad(engine.tensor(a), (1,))


@pytest.mark.parametrize("mode", sorted(MODES))
def test_padding_differentiates(mode: str) -> None:
    a = np.random.default_rng(0).standard_normal((2, 4))
    gradcheck(lambda x: engine.pad(x, (2, 3, 1, 0), mode), [a])


@settings(max_examples=60, deadline=None)
@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5), st.integers(-7, 7), st.data())
def test_rolls_are_those_of_numpy(shape: tuple[int, ...], by: int, data: st.DataObject) -> None:
    a = np.arange(np.prod(shape)).reshape(shape)
    axis = data.draw(st.none() | st.integers(0, len(shape) - 1))
    np.testing.assert_array_equal(
        engine.roll(engine.tensor(a), by, axis).numpy(), np.roll(a, by, axis)
    )


@settings(max_examples=60, deadline=None)
@given(
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=4),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
def test_tiles_are_those_of_numpy(shape: tuple[int, ...], counts: list[int]) -> None:
    a = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(engine.tile(engine.tensor(a), counts).numpy(), np.tile(a, counts))


def test_repeats_one_by_one() -> None:
    a = np.arange(6).reshape(2, 3)
    got = engine.repeat_interleave(engine.tensor(a), 2, -1)
    np.testing.assert_array_equal(got.numpy(), np.repeat(a, 2, -1))
    with pytest.raises(ShapeError, match="1 counts for the 2 axes"):
        engine.tensor(a).repeat(2)


@settings(max_examples=60, deadline=None)
@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=6), st.data())
def test_pieces_put_together_are_the_whole(shape: tuple[int, ...], data: st.DataObject) -> None:
    a = np.arange(np.prod(shape)).reshape(shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = data.draw(st.integers(1, 4))
    x = engine.tensor(a)
    for pieces in (x.split(size, axis), x.chunk(size, axis)):
        np.testing.assert_array_equal(engine.cat(pieces, axis).numpy(), a)
    np.testing.assert_array_equal(engine.stack(x.unbind(axis), axis).numpy(), a)


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda x: x.reshape(4, -1), ShapeError, r"float32\[2, 3\] cannot be cut to \[4, -1\]"),
    (lambda x: x.reshape(5), ShapeError, "has 6 elements, the shape .5. wants 5"),
    (lambda x: x.permute(0, 0), ShapeError, "is no order of the 2 axes"),
    (lambda x: x.sum(2), AxisError, "sum: axis 2 does not exist; the tensor has 2 axes, -2 to 1"),
    (lambda x: x.sum((0, -2)), AxisError, "name one axis twice"),
    (lambda x: x.expand(4, 3), ShapeError, "only axes of length 1 grow"),
    (lambda x: engine.cat([x, x.T]), ShapeError, "differ beside axis 0"),
    (lambda x: engine.cat([]), ShapeError, "at least one tensor"),
    (lambda x: x.narrow(1, 2, 2), ShapeError, "lies outside axis 1"),
    (lambda x: x.split([1, 1], 1), ShapeError, "sum to 2, the axis has 3"),
    (lambda x: x.unflatten(1, (2, 2)), ShapeError, "cannot be cut"),
    (lambda x: x + engine.ones(4), ShapeError, "add: the shapes .2, 3. and .4. do not broadcast"),
    (lambda x: x.amax(1)[:0].amax(), ShapeError, "no elements along"),
    (lambda x: x.view("2"), ShapeError, "a shape of integers"),
]


@pytest.mark.parametrize(("run", "kind", "text"), REFUSED)
def test_refusals_name_the_shapes(run: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        run(engine.ones(2, 3))

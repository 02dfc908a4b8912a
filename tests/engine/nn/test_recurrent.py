"""Recurrent layers: their states, padding, directions and dropout."""

import numpy as np
import pytest

import engine
from engine import nn
from engine.errors import DtypeError, ShapeError
from engine.tensor import Tensor

KINDS = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def made(kind: str, **options: object) -> nn.Module:
    layer: nn.Module = getattr(nn, kind)(3, 4, batch_first=True, **options)
    return layer.init(1)


def hidden(states: object) -> np.ndarray:
    first = states[0] if isinstance(states, tuple) else states
    assert isinstance(first, Tensor)
    return first.numpy()


@KINDS
def test_a_sequence_read_in_two_halves_ends_in_the_same_state(kind: str) -> None:
    layer, x = made(kind, num_layers=2), drawn(2, 6, 3)
    whole, last = layer(Tensor(x))
    first, states = layer(Tensor(x[:, :4]))
    second, again = layer(Tensor(x[:, 4:]), states)
    joined = np.concatenate([first.numpy(), second.numpy()], 1)
    np.testing.assert_allclose(joined, whole.numpy(), atol=1e-6)
    np.testing.assert_allclose(hidden(again), hidden(last), atol=1e-6)


@KINDS
def test_padding_changes_nothing(kind: str) -> None:
    layer, x = made(kind, bidirectional=True), drawn(3, 5, 3)
    lengths = Tensor(np.array([5, 2, 3]))
    y, last = layer(Tensor(x), lengths=lengths)
    for row, length in enumerate((5, 2, 3)):
        alone, end = layer(Tensor(x[row : row + 1, :length]))
        np.testing.assert_allclose(y.numpy()[row, :length], alone.numpy()[0], atol=1e-6)
        np.testing.assert_array_equal(y.numpy()[row, length:], 0)
        np.testing.assert_allclose(hidden(last)[:, row], hidden(end)[:, 0], atol=1e-6)


@KINDS
def test_the_way_back_is_the_way_there_on_the_turned_sequence(kind: str) -> None:
    both, x = made(kind, bidirectional=True), drawn(2, 5, 3)
    single = made(kind)
    state = both.state_dict()
    single.load_state_dict({n: state[f"{n}_reverse"] for n in single.state_dict()})
    turned = single(Tensor(np.ascontiguousarray(x[:, ::-1])))[0].numpy()[:, ::-1]
    np.testing.assert_allclose(both(Tensor(x))[0].numpy()[..., 4:], turned, atol=1e-6)


def test_dropout_lies_between_layers_only() -> None:
    x = Tensor(drawn(2, 5, 3))
    single, double = made("LSTM", dropout=0.5), made("LSTM", dropout=0.5, num_layers=2)
    with engine.random.stream(seed=0, step=0):
        kept, changed = single(x)[0].numpy(), double(x)[0].numpy()
    np.testing.assert_array_equal(kept, single.eval()(x)[0].numpy())
    assert np.abs(changed - double.eval()(x)[0].numpy()).max() > 1e-3


@KINDS
def test_weights_begin_within_the_root_of_the_width(kind: str) -> None:
    state = getattr(nn, kind)(30, 25).init(0).state_dict()
    for values in state.values():
        assert np.abs(values).max() <= 0.2
    assert np.abs(state["weight_hh_l0"]).max() > 0.19


def test_what_does_not_fit_is_refused() -> None:
    layer, x = made("LSTM"), Tensor(drawn(2, 5, 3))
    with pytest.raises(ShapeError, match=r"a first state \[1, 2, 4\] was expected"):
        layer(x, (Tensor(drawn(1, 3, 4)), Tensor(drawn(1, 3, 4))))
    with pytest.raises(DtypeError, match="lengths float32"):
        layer(x, lengths=Tensor(drawn(2)))
    with pytest.raises(ShapeError, match=r"must have the shape \[2\]"):
        layer(x, lengths=Tensor(np.array([1, 2, 3])))
    with pytest.raises(ShapeError, match="at least one step"):
        layer(Tensor(drawn(2, 0, 3)))

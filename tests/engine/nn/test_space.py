"""Convolutions, pools, dropout, embeddings and blocks: what their names promise."""

import numpy as np
import pytest
from scipy import signal

import engine
from engine import nn
from engine.errors import DtypeError, RandomError, ShapeError
from engine.tensor import Tensor

RNG = np.random.default_rng(0)


def test_a_convolution_is_a_correlation() -> None:
    layer = nn.Conv2d(2, 3, 3, dtype="float64").init()
    x = RNG.normal(size=(2, 2, 6, 5))
    expected = np.stack([
        [
            sum(signal.correlate2d(image[c], layer.weight.data[o, c], "valid") for c in range(2))
            + layer.bias.data[o]
            for o in range(3)
        ]
        for image in x
    ])  # fmt: skip
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_size_for_every_kernel(kernel: int, dilation: int) -> None:
    layer = nn.Conv1d(1, 1, kernel, padding="same", dilation=dilation).init()
    assert layer(Tensor(np.ones((1, 1, 11), np.float32))).shape == (1, 1, 11)


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"groups": 2}])
def test_a_transposed_convolution_is_the_adjoint_of_a_convolution(options: dict) -> None:
    down = nn.Conv2d(4, 6, 3, bias=False, dtype="float64", **options).init()
    x = RNG.normal(size=(2, 4, 7, 9))
    y = down(Tensor(x)).numpy()
    up = nn.ConvTranspose2d(6, 4, 3, bias=False, dtype="float64", **options).init()
    up.load_state_dict(down.state_dict())
    g = RNG.normal(size=y.shape)
    back = up(Tensor(g)).numpy()
    assert back.shape == x.shape
    assert (y * g).sum() == pytest.approx((x * back).sum())


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    x = Tensor(np.ones((100, 1000), np.float32))
    with engine.random.stream(seed=1):
        y = nn.Dropout(0.3)(x).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.7)}
    assert abs((y == 0).mean() - 0.3) < 0.01
    assert abs(y.mean() - 1.0) < 0.01


def test_dropout_of_channels_drops_whole_channels() -> None:
    with engine.random.stream(seed=1):
        y = nn.Dropout2d(0.5)(Tensor(np.ones((50, 20, 3, 4), np.float32))).numpy()
    flat = y.reshape(1000, 12)
    assert (flat == flat[:, :1]).all()
    assert abs((flat[:, 0] == 0).mean() - 0.5) < 0.06


def test_dropout_is_a_function_of_the_stream() -> None:
    def draw(seed: int, step: int) -> bytes:
        with engine.random.stream(seed=seed, step=step):
            return nn.Dropout(0.5)(Tensor(np.ones(64, np.float32))).numpy().tobytes()

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(1, 2), draw(1, 3), draw(2, 2)}) == 3


@pytest.mark.parametrize("kind", ["Dropout", "Dropout1d"])
def test_dropout_passes_in_evaluation_and_needs_a_stream_in_training(kind: str) -> None:
    layer = getattr(nn, kind)(0.5)
    x = Tensor(np.ones((2, 3, 4), np.float32))
    with pytest.raises(RandomError, match="stream"):
        layer(x)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())
    np.testing.assert_array_equal(getattr(nn, kind)(0.0)(x).numpy(), x.numpy())


def test_the_padding_row_is_zero_and_stays() -> None:
    layer = nn.Embedding(5, 3, padding_idx=1).init()
    np.testing.assert_array_equal(layer.weight.data[1], 0.0)
    layer(Tensor(np.array([1, 2, 1, 2]))).sum().backward()
    assert layer.weight.grad is not None
    np.testing.assert_array_equal(layer.weight.grad.numpy()[:, 0], [0, 0, 2, 0, 0])


def test_embeddings_take_integers() -> None:
    with pytest.raises(DtypeError, match=r"Embedding: expected integers, got float32\[2\]"):
        nn.Embedding(5, 3).init()(Tensor(np.zeros(2, np.float32)))


def test_pools_are_their_formulas() -> None:
    x = RNG.normal(size=(2, 3, 4, 6)).astype(np.float32)
    windows = x.reshape(2, 3, 2, 2, 3, 2)
    for layer, expected in (
        (nn.MaxPool2d(2), windows.max((3, 5))),
        (nn.AvgPool2d(2), windows.mean((3, 5))),
        (nn.AdaptiveAvgPool2d((2, 3)), windows.mean((3, 5))),
        (nn.AdaptiveMaxPool2d((2, 3)), windows.max((3, 5))),
        (nn.GlobalAvgPool(), x.mean((2, 3))),
        (nn.GlobalMaxPool(), x.max((2, 3))),
    ):
        np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-7)


def test_doubling_by_nearest_repeats_every_element() -> None:
    x = RNG.normal(size=(1, 2, 3, 4)).astype(np.float32)
    y = nn.Interpolate(scale_factor=2)(Tensor(x)).numpy()
    np.testing.assert_array_equal(y, x.repeat(2, 2).repeat(2, 3))


@pytest.mark.parametrize("old", [3, 7, 48, 49])
def test_nearest_takes_exactly_the_element_below(old: int) -> None:
    for new in range(1, 100):
        x = np.arange(old, dtype=np.float32).reshape(1, 1, old)
        y = nn.Interpolate(new)(Tensor(x)).numpy().ravel()
        np.testing.assert_array_equal(y, np.arange(new) * old // new)


def test_squeeze_and_excite_is_its_formula() -> None:
    layer = nn.SqueezeExcite(4, 2, dtype="float64").init()
    x = RNG.normal(size=(2, 4, 3, 5))
    state = layer.state_dict()
    inner = np.maximum(x.mean((2, 3)) @ state["down.weight"].T + state["down.bias"], 0)
    gate = 1 / (1 + np.exp(-(inner @ state["up.weight"].T + state["up.bias"])))
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), x * gate[:, :, None, None], rtol=1e-10)


def test_a_residual_adds_its_shortcut() -> None:
    x = Tensor(np.ones((2, 3), np.float32))
    plain = nn.Residual(nn.Identity()).init()
    np.testing.assert_array_equal(plain(x).numpy(), 2.0)
    with pytest.raises(ShapeError, match=r"Residual.*float32\[2, 3\]; give a shortcut.*\[2, 4\]"):
        nn.Residual(nn.Linear(3, 4)).init()(x)


@pytest.mark.parametrize("kind", ["Add", "Multiply", "Concat"])
def test_joints_refuse_tensors_that_do_not_fit(kind: str) -> None:
    first, second = Tensor(np.ones((2, 3, 4))), Tensor(np.ones((2, 3, 5)))
    with pytest.raises(
        ShapeError, match=rf"{kind}: expected .*\[2, 3, 4\].*got float64\[2, 3, 5\]"
    ):
        getattr(nn, kind)()(first, second)


def test_the_product_of_three_is_their_product() -> None:
    parts = [Tensor(np.full((2,), n)) for n in (2.0, 3.0, 5.0)]
    np.testing.assert_array_equal(nn.Multiply()(*parts).numpy(), 30.0)
    np.testing.assert_array_equal(nn.Add()(*parts).numpy(), 10.0)

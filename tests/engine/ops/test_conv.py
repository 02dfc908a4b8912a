from typing import Any

import numpy as np
import pytest

import engine
from engine.errors import ShapeError
from engine.testing import gradcheck
from tests.engine.ops.oracles_images import conv as plain


def image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def attrs(stride: int, padding: Any, dilation: int, groups: int) -> dict[str, Any]:
    return {
        "stride": (stride,) * 2, "padding": (padding,) * 2, "dilation": (dilation,) * 2,
        "groups": groups,
    }  # fmt: skip


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(("groups", "channels", "outputs"), [(1, 3, 2), (2, 4, 6), (4, 4, 8)])
def test_every_window_is_that_of_the_plain_loop(
    stride: int, kernel: int, dilation: int, groups: int, channels: int, outputs: int
) -> None:
    x, w = image(2, channels, 7, 8), image(outputs, channels // groups, kernel, kernel, seed=1)
    got = engine.conv(
        engine.tensor(x),
        engine.tensor(w),
        stride=stride,
        padding=1,
        dilation=dilation,
        groups=groups,
    )
    expected = plain(x, w, **attrs(stride, (1, 1), dilation, groups))
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, (2, 0), (3, 3)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(("groups", "channels", "outputs"), [(1, 3, 2), (2, 4, 6), (4, 4, 8)])
def test_gradients_are_the_transposed_maps(
    stride: int, kernel: int, padding: Any, dilation: int, groups: int, channels: int, outputs: int
) -> None:
    """<conv(x, w), g> = <x, input gradient> = <w, weight gradient>: conv is linear in both."""
    x = engine.tensor(image(2, channels, 8, 7), requires_grad=True)
    w = engine.tensor(
        image(outputs, channels // groups, kernel, kernel, seed=1), requires_grad=True
    )
    pads = padding if isinstance(padding, int) else (padding, padding)
    y = engine.conv(x, w, stride=stride, padding=pads, dilation=dilation, groups=groups)
    g = engine.tensor(image(*y.shape, seed=2))
    to_x, to_w = engine.grad(y, [x, w], gradient=g)
    assert to_x is not None
    assert to_w is not None
    total = (y.detach() * g).sum().item()
    assert (to_x * x.detach()).sum().item() == pytest.approx(total)
    assert (to_w * w.detach()).sum().item() == pytest.approx(total)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_keeps_the_size(kernel: int, dilation: int) -> None:
    x, w = engine.tensor(image(1, 2, 9, 6)), engine.tensor(image(3, 2, kernel, kernel))
    got = engine.conv(x, w, padding="same", dilation=dilation)
    assert got.shape == (1, 3, 9, 6)
    reach = (kernel - 1) * dilation
    pads = (reach // 2, reach - reach // 2)
    expected = plain(x.numpy(), w.numpy(), **attrs(1, pads, dilation, 1))
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def test_many_images_are_worked_through_in_parts() -> None:
    x, w = image(97, 8, 14, 14).astype("f"), image(8, 8, 3, 3, seed=1).astype("f")
    together = engine.conv(engine.tensor(x), engine.tensor(w), padding=1).numpy()
    for i in (0, 50, 96):
        alone = engine.conv(engine.tensor(x[i : i + 1]), engine.tensor(w), padding=1).numpy()
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradient_for_the_weight_adds_up_over_parts(stride: int) -> None:
    x, g = image(70, 4, 16, 16), image(70, 5, 16 // stride, 16 // stride, seed=1)
    where = {"stride": (stride,) * 2, "padding": ((1, 1),) * 2, "dilation": (1, 1), "groups": 1}
    whole = engine.apply("conv_weight_grad", x, g, kernel=(3, 3), **where).numpy()
    parts = [
        engine.apply("conv_weight_grad", x[i : i + 10], g[i : i + 10], kernel=(3, 3), **where)
        for i in range(0, 70, 10)
    ]
    np.testing.assert_allclose(whole, sum(p.numpy() for p in parts), rtol=1e-10, atol=1e-10)


def test_a_transposed_convolution_is_the_gradient_of_one() -> None:
    x, w = image(2, 3, 4, 5), image(3, 2, 3, 3, seed=1)
    got = engine.conv_transpose(
        engine.tensor(x), engine.tensor(w), stride=2, padding=1, output_padding=1
    )
    assert got.shape == (2, 2, 8, 10)
    seen = engine.tensor(image(2, 2, 8, 10, seed=2), requires_grad=True)
    y = engine.conv(seen, engine.tensor(w), stride=2, padding=1)
    (expected,) = engine.grad(y, [seen], gradient=engine.tensor(x))
    assert expected is not None
    np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=1e-12)


def test_a_transposed_convolution_with_bias_differentiates() -> None:
    inputs = image(1, 2, 3, 3), image(2, 1, 2, 2, seed=1), image(2, seed=2)
    gradcheck(lambda x, w, b: engine.conv_transpose(x, w, b, stride=2, groups=2), inputs)


def test_over_one_and_three_axes() -> None:
    x, w = image(2, 3, 9), image(4, 3, 3, seed=1)
    got = engine.conv(engine.tensor(x), engine.tensor(w), stride=2).numpy()
    for i in range(4):
        window = x[:, :, 2 * i : 2 * i + 3]
        np.testing.assert_allclose(got[:, :, i], np.einsum("nck,ock->no", window, w), atol=1e-12)
    x, w = image(1, 2, 3, 3, 3), image(1, 2, 3, 3, 3, seed=1)
    np.testing.assert_allclose(
        engine.conv(engine.tensor(x), engine.tensor(w)).item(), (x * w).sum()
    )


def test_float16_is_computed_in_float32() -> None:
    x, w = image(2, 16, 8, 8).astype("f2"), image(4, 16, 3, 3, seed=1).astype("f2")
    got = engine.conv(engine.tensor(x), engine.tensor(w))
    assert got.dtype == np.float16
    expected = engine.conv(engine.tensor(x.astype("f")), engine.tensor(w.astype("f")))
    np.testing.assert_array_equal(got.numpy(), expected.numpy().astype("f2"))


@pytest.mark.parametrize(
    ("shape", "weight", "options", "text"),
    [
        ((2, 3, 8, 8), (4, 2, 3, 3), {}, "input has 3 channels, the weight wants 2"),
        ((2, 4, 8, 8), (3, 2, 3, 3), {"groups": 2}, "3 outputs cannot be shared out to 2 groups"),
        (
            (2, 3, 2, 2),
            (4, 3, 3, 3),
            {},
            r"the kernel \[3, 3\].*larger than the padded input \[2, 2\]",
        ),
        ((2, 3, 8), (4, 3, 3, 3), {}, r"must be \[n, channels, \*size\]"),
        ((2, 3, 8, 8), (4, 3, 3, 3), {"padding": "same", "stride": 2}, "'same' needs stride 1"),
        ((2, 3, 8, 8), (4, 3, 3, 3), {"padding": "full"}, "a number, pairs, 'same' or 'valid'"),
        ((2, 3, 8, 8), (4, 3, 3, 3), {"stride": (1, 2, 3)}, r"\[1, 2, 3\] for 2 axes"),
    ],
)
def test_what_does_not_fit_is_named(shape: Any, weight: Any, options: Any, text: str) -> None:
    with pytest.raises(ShapeError, match=text):
        engine.conv(engine.ones(shape), engine.ones(weight), **options)


def test_flops_are_two_a_product() -> None:
    from engine.ops.registry import OPS

    x, w = engine.ones(2, 3, 8, 8), engine.ones(4, 3, 3, 3)
    where = {"stride": (1, 1), "padding": ((1, 1),) * 2, "dilation": (1, 1), "groups": 1}
    assert OPS["conv"].flops(x.type, w.type, **where) == 2 * (2 * 8 * 8 * 4) * (3 * 9)

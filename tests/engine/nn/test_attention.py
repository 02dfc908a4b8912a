"""Multi-head attention beside a loop over heads, and what causality and positions promise."""

import numpy as np
import pytest

import engine
from engine import nn
from engine.compile import TrainStep
from engine.optim import AdamW
from engine.tensor import Tensor


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_hand(layer: nn.MultiheadAttention, x: np.ndarray, source: np.ndarray) -> np.ndarray:
    """One head after the other, in float64."""
    state = {name: a.astype(np.float64) for name, a in layer.state_dict().items()}
    d = layer.embed_dim // layer.num_heads
    keys = layer.num_kv_heads * d
    cuts = np.cumsum([layer.embed_dim, keys])
    weights = np.split(state["in_proj_weight"], cuts)
    biases = np.split(state["in_proj_bias"], cuts)
    q, k, v = (
        given @ w.T + b for given, w, b in zip((x, source, source), weights, biases, strict=True)
    )
    heads = []
    for head in range(layer.num_heads):
        own = slice(head * d, head * d + d)
        other = head * layer.num_kv_heads // layer.num_heads
        shared = slice(other * d, other * d + d)
        scores = np.exp(q[:, own] @ k[:, shared].T / np.sqrt(d))
        heads.append(scores / scores.sum(1, keepdims=True) @ v[:, shared])
    return np.hstack(heads) @ state["out_proj.weight"].T + state["out_proj.bias"]


@pytest.mark.parametrize("many", [None, 2, 1])
def test_heads_are_those_of_a_loop(many: int | None) -> None:
    layer = nn.MultiheadAttention(12, 4, num_kv_heads=many).init(3)
    x, other = numbers(5, 12), numbers(7, 12, seed=1)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), by_hand(layer, x, x), atol=2e-6)
    across = layer(Tensor(x), Tensor(other)).numpy()
    np.testing.assert_allclose(across, by_hand(layer, x, other), atol=2e-6)
    apart = layer(Tensor(x), Tensor(other), Tensor(other)).numpy()
    np.testing.assert_allclose(apart, across, atol=2e-6)


def test_weights_begin_as_in_pytorch() -> None:
    layer = nn.MultiheadAttention(64, 4).init(0)
    assert [name for name, _ in layer.named_parameters()] == [
        "in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias",
    ]  # fmt: skip
    assert not layer.in_proj_bias.numpy().any()
    assert not layer.out_proj.bias.numpy().any()
    bound = np.sqrt(6 / (64 + 192))
    found = abs(layer.in_proj_weight.numpy()).max()
    assert 0.99 * bound < found <= bound


@pytest.mark.parametrize("rotary", [False, True])
def test_a_causal_layer_does_not_look_ahead(rotary: bool) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, causal=True, rotary=rotary).init(1)
    x = numbers(2, 9, 8)
    changed = x.copy()
    changed[:, 6:] = 5.0
    before, after = layer(Tensor(x)).numpy(), layer(Tensor(changed)).numpy()
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] != after[:, 6:]).any()


def test_a_mask_of_padding_hides_it() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0).init(1)
    x, longer = numbers(1, 4, 8), numbers(1, 7, 8, seed=2)
    longer[:, :4] = x
    seen = Tensor(np.arange(7) < 4)
    found = layer(Tensor(longer), mask=seen).numpy()[:, :4]
    np.testing.assert_allclose(found, layer(Tensor(x)).numpy(), atol=1e-6)


def test_turned_products_depend_on_distance_alone() -> None:
    q, k = numbers(1, 6), numbers(1, 6, seed=1)

    def product(at: int, other: int) -> float:
        turned = engine.rotary(Tensor(q), offset=at), engine.rotary(Tensor(k), offset=other)
        return float((turned[0] * turned[1]).sum())

    assert product(3, 8) == pytest.approx(product(40, 45), rel=1e-4)
    assert product(3, 8) != pytest.approx(product(3, 9), rel=1e-3)


def test_waves_are_those_of_the_paper() -> None:
    table = engine.sinusoidal_positions(30, 7).numpy()
    for position, place in ((0, 0), (5, 0), (5, 3), (29, 6)):
        angle = position / 10000 ** (place // 2 * 2 / 7)
        wave = np.cos(angle) if place % 2 else np.sin(angle)
        assert table[position, place] == pytest.approx(wave, abs=1e-6)


def test_dropout_of_weights_is_drawn_again_in_the_gradient() -> None:
    """A step that drops learns the same twice, and the loss of a fixed batch falls."""
    losses = []
    for _ in range(2):
        model = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, 0.2, norm_first=True, causal=True), 2
        ).init(0)

        def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
            return (model(batch["x"]) - batch["x"].flip(-1)).square().mean()

        step = TrainStep(model, loss, AdamW(model.named_parameters(), lr=0.01), seed=4)
        batch = {"x": numbers(4, 6, 8)}
        losses.append([float(step(batch, step=n, lr=0.01)["loss"]) for n in range(30)])
    assert losses[0] == losses[1]
    assert losses[0][-1] < 0.7 * losses[0][0]

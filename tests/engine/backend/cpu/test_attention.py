"""Attention in tiles against its reference with the whole matrix of scores."""

from typing import Any

import numpy as np
import pytest

import engine
from engine.ops.registry import OPS
from engine.testing.samples import samples
from tests.engine.backend.cpu import programs as p

PLAIN: dict[str, Any] = {"causal": False, "scale": 0.3, "masked": False, "draw": 0, "p": 0.0}
KEY = np.asarray(11, np.uint64), np.asarray(2, np.uint64)

#: (leading axes, positions of q, of k, heads of q, of k, features of q, of v): one block and many,
#: rows that do and do not fill tiles.
SIZES = [
    ((1,), 1, 1, 1, 1, 1, 1),
    ((2,), 3, 17, 2, 2, 5, 5),
    ((3,), 17, 3, 4, 2, 8, 3),
    ((), 64, 64, 4, 4, 32, 32),
    ((2, 3), 73, 73, 2, 1, 16, 24),
    ((1,), 128, 128, 6, 6, 32, 32),
    ((1,), 145, 290, 1, 1, 33, 17),
    ((1,), 300, 150, 2, 2, 64, 64),
    ((12,), 7, 144, 1, 1, 16, 16),
]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def both(
    tensors: list[np.ndarray], *rest: np.ndarray, tolerance: float = 1e-5, **given: Any
) -> None:
    """Forward and gradient in C against float64."""
    attrs = {**PLAIN, **given}
    p.check("attention", [*tensors, *rest], tolerance, **attrs)
    y, lse = OPS["attention"].ref(*p.widened(tensors), *p.widened(rest), **attrs)
    made = [y.astype(np.float32), lse.astype(np.float32)]
    flow = numbers(*y.shape, seed=9)
    p.check("attention_grad", [flow, *tensors, *made, *rest], tolerance, **attrs)


def drawn(lead: Any, rows: int, keys: int, heads: int, few: int, deep: int, wide: int) -> Any:
    return [
        numbers(*lead, rows, heads, deep, seed=1),
        numbers(*lead, keys, few, deep, seed=2),
        numbers(*lead, keys, few, wide, seed=3),
    ]


@pytest.mark.parametrize(
    "name", ["attention", "attention_grad", "self_attention", "self_attention_grad"]
)
def test_samples(name: str) -> None:
    for arrays, attrs in samples()[name]:
        p.check(name, [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays], **attrs)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
def test_blocks_of_any_size(size: Any, causal: bool) -> None:
    both(drawn(*size), causal=causal)


@pytest.mark.parametrize("size", [SIZES[1], SIZES[4], SIZES[6]], ids=str)
@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
def test_masks_and_dropout(size: Any, causal: bool) -> None:
    lead, rows, keys, heads, *_ = size
    rng, tensors = np.random.default_rng(4), drawn(*size)
    seen = rng.random((*lead, 1, rows, keys)) < 0.7
    both(tensors, seen, causal=causal, masked=True)
    both(tensors, numbers(heads, 1, keys), causal=causal, masked=True)
    both(tensors, *KEY, causal=causal, p=0.3, draw=4)
    both(tensors, seen[..., :1, :], *KEY, causal=causal, masked=True, p=0.1)


def test_rows_that_see_no_key_are_zero() -> None:
    tensors = drawn((2,), 5, 150, 2, 2, 8, 8)
    seen = np.ones((5, 150), bool)
    seen[2] = False
    both(tensors, seen, masked=True)
    y, lse = p.run(p.of_op("attention", [*tensors, seen], **PLAIN | {"masked": True}),
                   [*tensors, seen])  # fmt: skip
    assert not y[:, 2].any()
    assert np.isneginf(lse[:, :, 2]).all()


def test_large_scores_do_not_overflow() -> None:
    q, k, v = drawn((1,), 70, 200, 1, 1, 16, 16)
    both([q * 60, k * 60, v], tolerance=1e-4)


def test_inputs_of_any_strides() -> None:
    def f(x: engine.Tensor, y: engine.Tensor) -> list[engine.Tensor]:
        turned = x.transpose(-1, -3)  # features do not lie side by side
        return [
            engine.scaled_dot_product_attention(x, y, y, causal=True),
            engine.scaled_dot_product_attention(x[:, ::-1], y[:, :, 1::2], y[:, :, ::2]),
            engine.scaled_dot_product_attention(turned, turned, turned[..., :3]),
        ]

    x, y = numbers(2, 3, 20, 20), numbers(2, 3, 20, 20, seed=1)
    found = p.run(p.of_function(f, [x, y]), [x, y])
    wide = p.widened([x, y])
    for one, other in zip(found, p.interpreted(p.of_function(f, wide), wide), strict=True):
        p.close(one, other)


def test_gradients_into_one_tensor_of_all_heads() -> None:
    def f(x: engine.Tensor) -> engine.Tensor:
        x.requires_grad_()
        return engine.grad(engine.self_attention(x, 4, 2, causal=True).square().sum(), [x])[0]

    x = numbers(3, 50, 8 * 8)
    (found,) = p.run(p.of_function(f, [x]), [x], whole=False)
    wide = p.widened([x])
    p.close(found, p.interpreted(p.of_function(f, wide), wide)[0])

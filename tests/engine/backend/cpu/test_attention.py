"""Attention in tiles against its reference with the whole matrix of scores."""

from typing import Any

import numpy as np
import pytest

import engine
from engine.dispatch import apply
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


class Case:
    """Forward and gradient of some tensors, with a mask or the key of dropout behind them."""

    def __init__(self, tensors: list[np.ndarray], *rest: np.ndarray, **given: Any) -> None:
        rows, heads, wide = *tensors[0].shape[-3:-1], tensors[2].shape[-1]
        flow = numbers(*tensors[0].shape[:-3], rows, heads, wide, seed=9)
        self.arrays, self.attrs = [flow, *tensors, *rest], {**PLAIN, **given}

    def of(self, flow: Any, q: Any, k: Any, v: Any, *rest: Any) -> list[engine.Tensor]:
        y, lse = apply("attention", q, k, v, *rest, **self.attrs)
        found = apply("attention_grad", flow, q, k, v, y, lse, *rest, **self.attrs)
        return [y, lse, *found]


def agree(*cases: Case, tolerance: float = 1e-5) -> None:
    """All cases as one plan: in C, and by their references in float64."""
    arrays = [a for case in cases for a in case.arrays]

    def f(*tensors: engine.Tensor) -> list[engine.Tensor]:
        rest, found = list(tensors), []
        for case in cases:
            own, rest = rest[: len(case.arrays)], rest[len(case.arrays) :]
            found += case.of(*own)
        return found

    made = p.run(p.of_function(f, arrays), arrays)
    wide = p.widened(arrays)
    for one, other in zip(made, p.interpreted(p.of_function(f, wide), wide), strict=True):
        p.close(one, other, tolerance)


def drawn(lead: Any, rows: int, keys: int, heads: int, few: int, deep: int, wide: int) -> Any:
    return [
        numbers(*lead, rows, heads, deep, seed=1),
        numbers(*lead, keys, few, deep, seed=2),
        numbers(*lead, keys, few, wide, seed=3),
    ]


@pytest.mark.parametrize("name", ["self_attention", "self_attention_grad"])
def test_samples_of_one_tensor(name: str) -> None:
    arrays, attrs = samples()[name][1]
    p.check(name, [a.astype(np.float32) for a in arrays], **attrs)


def test_blocks_of_any_size() -> None:
    agree(*[Case(drawn(*size), causal=causal) for size in SIZES for causal in (False, True)])


def test_masks_and_dropout() -> None:
    cases = []
    for size in (SIZES[1], SIZES[4], SIZES[6]):
        lead, rows, keys, heads, *_ = size
        tensors = drawn(*size)
        seen = np.random.default_rng(4).random((*lead, 1, rows, keys)) < 0.7
        for causal in (False, True):
            cases += [
                Case(tensors, seen, causal=causal, masked=True),
                Case(tensors, numbers(heads, 1, keys), causal=causal, masked=True),
                Case(tensors, *KEY, causal=causal, p=0.3, draw=4),
                Case(tensors, seen[..., :1, :], *KEY, causal=causal, masked=True, p=0.1),
            ]
    agree(*cases)


def test_rows_that_see_no_key_are_zero() -> None:
    tensors = drawn((2,), 5, 150, 2, 2, 8, 8)
    seen = np.ones((5, 150), bool)
    seen[2] = False
    agree(Case(tensors, seen, masked=True))
    given = [*tensors, seen]
    y, lse = p.run(p.of_op("attention", given, **PLAIN | {"masked": True}), given)
    assert not y[:, 2].any()
    assert np.isneginf(lse[:, :, 2]).all()


def test_large_scores_do_not_overflow() -> None:
    q, k, v = drawn((1,), 70, 200, 1, 1, 16, 16)
    agree(Case([q * 9, k * 9, v]), tolerance=1e-4)


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

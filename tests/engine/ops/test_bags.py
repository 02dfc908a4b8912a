"""Bags of embeddings against loops over single bags."""

from typing import Any

import numpy as np
import pytest

import engine
from engine.errors import AxisError, DtypeError, EngineError, ShapeError
from engine.tensor import Tensor
from engine.testing import gradcheck
from tests.engine.backend.cpu.test_emitters import agree

MODES = pytest.mark.parametrize("mode", ["sum", "mean", "max"])
PADDED = pytest.mark.parametrize("padding_idx", [None, 2])
OFFSETS = np.array([0, 3, 3, 8])


def table(rows: int = 6, features: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, features))


def entries(*shape: int) -> np.ndarray:
    found = np.random.default_rng(1).integers(0, 6, shape)
    found.reshape(-1)[:3] = 2  # a bag of padding alone
    return found


def expected(w: np.ndarray, bags: Any, mode: str, padding_idx: int | None) -> np.ndarray:
    found = np.zeros((len(bags), w.shape[1]))
    for i, bag in enumerate(bags):
        rows = w[[e for e in bag if e != padding_idx]]
        if len(rows):
            found[i] = getattr(rows, mode)(axis=0)
    return found


@MODES
@PADDED
def test_lines_and_stretches(mode: str, padding_idx: int | None) -> None:
    w, lines, flat = table(), entries(4, 3), entries(9)
    options: dict[str, Any] = {"mode": mode, "padding_idx": padding_idx}
    found = engine.embedding_bag(Tensor(w), Tensor(lines), **options)
    np.testing.assert_allclose(found.numpy(), expected(w, lines, mode, padding_idx))
    found = engine.embedding_bag(Tensor(w), Tensor(flat), Tensor(OFFSETS), **options)
    bags = np.split(flat, OFFSETS[1:])
    np.testing.assert_allclose(found.numpy(), expected(w, bags, mode, padding_idx))


@MODES
@PADDED
def test_gradients(mode: str, padding_idx: int | None) -> None:
    options: dict[str, Any] = {"mode": mode, "padding_idx": padding_idx}
    for given in ((entries(4, 3),), (entries(9), OFFSETS)):
        rest = [Tensor(a) for a in given]
        gradcheck(lambda w, rest=rest: engine.embedding_bag(w, *rest, **options), [table()])


def test_factors_and_their_gradient() -> None:
    w, flat, factors = table(), entries(9), np.linspace(-1, 2, 9)

    def f(w: Tensor, factors: Tensor) -> Tensor:
        return engine.embedding_bag(w, Tensor(flat), Tensor(OFFSETS), per_sample_weights=factors)

    scaled = [sum((w[e] * s for e, s in zip(b, c, strict=True)), np.zeros(3))
              for b, c in zip(np.split(flat, OFFSETS[1:]), np.split(factors, OFFSETS[1:]),
                              strict=True)]  # fmt: skip
    np.testing.assert_allclose(f(Tensor(w), Tensor(factors)).numpy(), scaled)
    gradcheck(f, [w, factors])


@MODES
def test_it_runs_in_a_plan(mode: str) -> None:
    def f(w: Tensor, lines: Tensor, flat: Tensor, offsets: Tensor) -> list[Tensor]:
        return [
            engine.embedding_bag(w, lines, mode=mode, padding_idx=2),
            engine.embedding_bag(w, flat, offsets, mode=mode, padding_idx=2),
        ]

    agree(f, table().astype(np.float32), entries(4, 3), entries(9), OFFSETS, whole=False)


def test_what_does_not_fit_is_refused() -> None:
    w, flat = Tensor(table()), Tensor(entries(9))
    with pytest.raises(EngineError, match="'median' is not known; say one of"):
        engine.embedding_bag(w, flat, mode="median")
    with pytest.raises(ShapeError, match=r"must be \[bags, length\]"):
        engine.embedding_bag(w, flat)
    with pytest.raises(DtypeError, match="must hold integers"):
        engine.embedding_bag(w, Tensor(table()))
    with pytest.raises(EngineError, match="begin with 0 and never fall"):
        engine.embedding_bag(w, flat, Tensor(np.array([0, 5, 3])))
    with pytest.raises(AxisError, match="out of range"):
        engine.embedding_bag(w, flat, Tensor(np.array([0, 50])))
    with pytest.raises(EngineError, match="go with mode sum"):
        engine.embedding_bag(w, Tensor(entries(4, 3)), mode="max", per_sample_weights=w)

"""Orders that are functions of (seed, epoch) alone: the same on every platform and after resume."""

from __future__ import annotations

import numpy as np

from engine.keyed import Draws


def uniforms(n: int, *, seed: int, epoch: int, purpose: str) -> np.ndarray:
    """n float64 in [0, 1) of one epoch."""
    return Draws(seed, f"{purpose}/{epoch}").uniform((n,))


def permutation(n: int, *, seed: int, epoch: int) -> np.ndarray:
    """A permutation of range(n), int64: the stable order of n keyed random words.

    Two equal words (chance below n^2 / 2^65) stay in order, so there is one answer.
    """
    if n < 0:
        raise ValueError(f"a permutation needs a length of 0 or more, got {n}")
    words = Draws(seed, f"permutation/{epoch}").words(n)
    return np.argsort(words, kind="stable").astype(np.int64)

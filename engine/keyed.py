"""Random numbers of the host, keyed by a seed and a name: initial weights, orders of examples."""

from __future__ import annotations

from hashlib import blake2b
from math import prod

import numpy as np


def name_key(name: str) -> int:
    """A 64-bit hash of a name that is the same in every process and on every machine."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


class Draws:
    """A stream of numbers that depends on (seed, name) alone: Philox 4x64-10 keyed by both.

    Only the raw words of NumPy's generator are used, whose stream is fixed for good; they depend
    on neither the platform nor the NumPy version.
    """

    def __init__(self, seed: int, name: str) -> None:
        key = np.array([seed % 2**64, name_key(name)], np.uint64)
        self._generator = np.random.Philox(key=key)

    def words(self, count: int) -> np.ndarray:
        """The next random uint64."""
        return np.atleast_1d(self._generator.random_raw(count))

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        """Float64 in [0, 1) with 53 random bits."""
        bits = self.words(prod(shape)) >> np.uint64(11)
        return (bits * 2.0**-53).reshape(shape)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Standard normal float64 by the transform of Box and Muller (1958)."""
        size = prod(shape)
        half = (size + 1) // 2
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform((half,))))
        angle = 2.0 * np.pi * self.uniform((half,))
        pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return pairs[:size].reshape(shape)

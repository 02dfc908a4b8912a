"""Rows through the network, any number of them, with a few compiled shapes.

Rows are cut into chunks of a few sizes and filled up to them, so a network is compiled at most
three times; what fills up is cut off again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from engine.compile import Inference
from spec.network import Network

SIZES = (1, 16, 256)

Arrays = dict[str, np.ndarray]


class Forward:
    """The network in evaluation mode: dropout passes, batch norm uses what it has learned."""

    def __init__(
        self,
        network: Network,
        *,
        weights: Mapping[str, np.ndarray] | None = None,
        threads: int | None = None,
    ) -> None:
        """weights: to be used in place of the network's own, by name."""
        self._names = network.names
        self._run = Inference(network, weights=weights, threads=threads)

    @property
    def fallback(self) -> str:
        """Why it is interpreted though it should be compiled; "" where it is not."""
        return self._run.fallback

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """The outputs (rows, …) for inputs (rows, …) by name; other names are ignored."""
        given = {name: arrays[name] for name in self._names}
        rows = len(next(iter(given.values())))
        if rows == 0:
            raise ValueError("at least one row is needed")
        found = []
        for start, size in chunks(rows):
            chunk = {
                name: filled(array[start : start + size], size) for name, array in given.items()
            }
            found.append(np.array(self._run(chunk))[: rows - start])
        return np.concatenate(found)


def chunks(rows: int) -> Iterator[tuple[int, int]]:
    """(start, size) of each chunk; only the last may reach beyond the rows."""
    start = 0
    while start < rows:
        left = rows - start
        size = next((size for size in SIZES if size >= left), SIZES[-1])
        yield start, size
        start += size


def filled(array: np.ndarray, size: int) -> np.ndarray:
    """The rows, with the last one repeated until there are `size`."""
    if len(array) == size:
        return array
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])

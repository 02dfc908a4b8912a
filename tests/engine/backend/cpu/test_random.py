"""Draws in C have the bits of the reference."""

from itertools import product

import numpy as np

from engine.backend import philox
from engine.dispatch import single
from engine.tensor import Tensor
from tests.engine.backend.cpu import programs as p

KEY = [np.asarray(0xFEDCBA9876543210, np.uint64), np.asarray(2**40 + 7, np.uint64)]


def test_uniform_numbers() -> None:
    cases = list(product((1, 65, 100_003), ("float32", "float64"), (0.0, -1.0)))

    def f(seed: Tensor, step: Tensor) -> list[Tensor]:
        return [
            single("uniform", seed, step, draw=3, shape=(n,), low=low, high=1.0, dtype=kind)
            for n, kind, low in cases
        ]

    graph = p.of_function(f, KEY)
    found, expected = p.run(graph, KEY), p.interpreted(graph, KEY)
    for one, other, (size, _, low) in zip(found, expected, cases, strict=True):
        assert one.tobytes() == other.tobytes()
        assert low <= one.min() <= one.max() < 1.0
        assert len(np.unique(one)) > 0.9 * size


def test_keys_are_the_words_of_philox() -> None:
    (found,) = p.run(p.of_op("random_keys", KEY, draw=5, size=999), KEY)
    assert found.tobytes() == philox.words(*KEY, 5, 2 * 999).tobytes()


def test_dropout() -> None:
    shapes = [(1,), (64, 128), (7, 131), (70_001,)]
    rates = (0.1, 0.5, 0.999)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    arrays.append(arrays[2].astype(np.float64))

    def f(seed: Tensor, step: Tensor, *xs: Tensor) -> list[Tensor]:
        return [single("dropout", x, seed, step, draw=1, p=rate) for x in xs for rate in rates]

    graph = p.of_function(f, [*KEY, *arrays])
    found, expected = p.run(graph, [*KEY, *arrays]), p.interpreted(graph, [*KEY, *arrays])
    for one, other in zip(found, expected, strict=True):
        assert one.tobytes() == other.tobytes()
    for rate, big in zip(rates, found[9:12], strict=True):
        assert abs((big == 0).mean() - rate) < 0.01

"""Random numbers without state: every draw is a function of a seed, a step and its own number.

    with engine.random.stream(seed=0, step=7):
        noise = engine.randn(3, 4)          # the same on every machine, today and tomorrow

Inside one stream draws are numbered in the order they are made; while tracing, seed and step may
be symbols, so one traced step draws anew every time it is replayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from engine.errors import RandomError
from engine.tensor import Tensor

_current: ContextVar[_Stream | None] = ContextVar("stream", default=None)


class _Stream:
    def __init__(self, seed: Tensor, step: Tensor) -> None:
        self.seed, self.step, self.draws = seed, step, 0


@contextmanager
def stream(seed: Any, step: Any = 0) -> Iterator[None]:
    """Draws inside come from (seed, step): integers, or tensors of one integer."""
    token = _current.set(_Stream(_word(seed), _word(step)))
    try:
        yield
    finally:
        _current.reset(token)


def _word(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return Tensor(np.asarray(int(value) & (1 << 64) - 1, np.uint64))


def draw() -> tuple[Tensor, Tensor, int]:
    """(seed, step, number of the draw) for one operation that draws."""
    found = _current.get()
    if found is None:
        raise RandomError(
            "random numbers need a stream, so that they can be drawn again: "
            "open one with `with engine.random.stream(seed=0):`"
        )
    found.draws += 1
    return found.seed, found.step, found.draws - 1

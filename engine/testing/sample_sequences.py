"""Samples of operations over sequences: recurrences, and bags of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from engine.ops.registry import OPS

Made = Iterator[tuple[str, tuple[np.ndarray, ...], dict[str, Any]]]
#: kind -> (gates of the weights, states)
_CELLS = {"rnn_tanh": (1, 1), "rnn_relu": (1, 1), "gru": (3, 1), "lstm": (4, 2)}


def recurrences(floats: Callable[..., np.ndarray]) -> Made:
    batch, steps, features, hidden = 2, 2, 1, 2
    lengths = np.array([2, 1])
    for kind, (gates, states) in _CELLS.items():
        wide = gates * hidden
        inputs = (
            floats(batch, steps, features),
            *[floats(batch, hidden, low=-0.9, high=0.8, seed=i) for i in range(states)],
            floats(wide, features, low=-0.8, high=0.7),
            floats(wide, hidden, low=-0.7, high=0.8),
            floats(wide, low=-0.3, high=0.4),
            floats(wide, low=-0.2, high=0.3, seed=1),
        )
        for rest, reverse in (((), False), ((lengths,), False), ((lengths,), True)):
            attrs = {"reverse": reverse}
            yield kind, (*inputs, *rest), attrs
            before, kept, *cells = OPS[kind].ref(*inputs, *rest, **attrs)[1 + states :]
            if kind == "rnn_relu":
                kept = np.where(kept > 0, kept, -0.5)  # away from the kink
            looked = {"gru": (before,), "lstm": (inputs[2], *cells)}.get(kind, ())
            flows = (
                floats(batch, steps, hidden, seed=3),
                *[floats(batch, hidden, seed=4 + i) for i in range(states)],
            )
            w_hh = inputs[2 + states]
            yield f"{kind}_grad", (*flows, w_hh, kept, *looked, *rest), attrs


def bags() -> Made:
    yield "bag_of", (np.array([0, 2, 2, 5]),), {"size": 7}
    yield "bag_of", (np.array([0]),), {"size": 0}

"""What every metric shares: numbers that are counted batch by batch, and can be merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from engine.errors import ShapeError, StateError

State = dict[str, np.ndarray]


class Metric:
    """A number about many batches, computed without keeping them.

    `update(outputs, targets)` takes in a batch (tensors or arrays), `compute()` gives the number
    so far (NaN before the first example), `reset()` starts again. What is counted is the flat
    `state()` of arrays: `merge` adds that of another process, `restore` goes on from that of a
    checkpoint. All counting is in float64 and int64.
    """

    def __init__(self) -> None:
        self._totals: State = self.zero()

    def zero(self) -> State:
        """The state before the first batch."""
        raise NotImplementedError(f"{type(self).__name__} has no zero")

    def compute(self) -> float:
        raise NotImplementedError(f"{type(self).__name__} has no compute")

    def combine(self, name: str, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        """One entry of two states together; sums unless a metric says otherwise."""
        return np.asarray(mine + theirs)

    def add(self, **more: Any) -> None:
        """Count these numbers in."""
        for name, value in more.items():
            self._totals[name] = self.combine(name, self._totals[name], np.asarray(value))

    def total(self, name: str) -> float:
        return float(self._totals[name])

    def state(self) -> State:
        return {name: np.array(value) for name, value in self._totals.items()}

    def merge(self, state: Mapping[str, Any]) -> Self:
        """Count in what another metric of the same kind has counted."""
        given = {name: np.asarray(value) for name, value in state.items()}
        if set(given) != set(self._totals):
            raise StateError(
                f"{type(self).__name__} keeps {sorted(self._totals)}, the state has {sorted(given)}"
            )
        self.add(**given)
        return self

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state."""
        held = self._totals
        self._totals = self.zero()
        try:
            return self.merge(state)
        except BaseException:
            self._totals = held
            raise

    def reset(self) -> Self:
        self._totals = self.zero()
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.compute()})"


def array(given: Any) -> np.ndarray:
    """A batch as a NumPy array: of a tensor its numbers."""
    numpy = getattr(given, "numpy", None)
    return np.asarray(given if numpy is None else numpy())


def same_shape(kind: str, outputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; ShapeError unless they have one shape, a last axis of 1 aside."""
    first, second = array(outputs), array(targets)
    if first.ndim == second.ndim + 1 and first.shape[-1] == 1:
        first = first[..., 0]
    if first.shape != second.shape:
        raise ShapeError(
            f"{kind}: outputs {list(first.shape)} and targets {list(second.shape)} must have one "
            "shape"
        )
    return first, second


def by_class(kind: str, outputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """(scores [rows, classes], labels [rows]) of outputs [N, C, ...] and targets [N, ...]."""
    scores, labels = array(outputs), array(targets)
    if scores.ndim < 2 or scores.shape[:1] + scores.shape[2:] != labels.shape:
        raise ShapeError(
            f"{kind}: expected outputs [N, C, ...] and targets [N, ...], got "
            f"{list(scores.shape)} and {list(labels.shape)}"
        )
    if labels.dtype.kind not in "iub":
        raise ShapeError(f"{kind}: targets must be whole numbers of classes, got {labels.dtype}")
    classes = scores.shape[1]
    flat = labels.reshape(-1).astype(np.int64)
    return np.moveaxis(scores, 1, -1).reshape(-1, classes), flat


def checked_labels(kind: str, labels: np.ndarray, classes: int) -> np.ndarray:
    """The labels; ShapeError names one that is not a class."""
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise ShapeError(f"{kind}: class {bad} is not one of 0 to {classes - 1}")
    return labels


def ratio(above: float, below: float) -> float:
    return above / below if below else float("nan")

"""Means: of a loss over batches, and of the errors of a regression."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from engine.metrics.metric import Metric, State, array, ratio, same_shape


class Mean(Metric):
    """The mean of numbers, each batch weighted by its size: `update(loss, count)`."""

    def zero(self) -> State:
        return {"sum": np.zeros(()), "weight": np.zeros(())}

    def update(self, values: Any, weight: Any = 1.0) -> None:
        """values: a number, or an array of which every element counts `weight`."""
        numbers = array(values).astype(np.float64)
        weights = np.broadcast_to(array(weight).astype(np.float64), numbers.shape)
        self.add(sum=(numbers * weights).sum(), weight=weights.sum())

    def compute(self) -> float:
        return ratio(self.total("sum"), self.total("weight"))


class Perplexity(Mean):
    """exp of the mean of negative log-likelihoods in nats."""

    def compute(self) -> float:
        return float(np.exp(super().compute()))


class _Errors(Metric):
    """The mean of a function of (outputs - targets) over all elements."""

    def zero(self) -> State:
        return {"sum": np.zeros(()), "count": np.zeros((), np.int64)}

    def error(self, difference: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def update(self, outputs: Any, targets: Any) -> None:
        first, second = same_shape(type(self).__name__, outputs, targets)
        difference = first.astype(np.float64) - second.astype(np.float64)
        self.add(sum=self.error(difference).sum(), count=difference.size)

    def compute(self) -> float:
        return ratio(self.total("sum"), self.total("count"))


class MSE(_Errors):
    """Mean squared error: mean((outputs - targets)^2)."""

    def error(self, difference: np.ndarray) -> np.ndarray:
        return np.asarray(difference * difference)


class RMSE(MSE):
    """Root of the mean squared error, in the unit of the target."""

    def compute(self) -> float:
        return sqrt(super().compute())


class MAE(_Errors):
    """Mean absolute error: mean(|outputs - targets|)."""

    def error(self, difference: np.ndarray) -> np.ndarray:
        return np.asarray(abs(difference))


class R2(Metric):
    """Coefficient of determination: 1 - sum((y - f)^2) / sum((y - mean(y))^2).

    Targets [N] or [N, columns]; the mean over columns. The squares about the mean are merged by
    the method of Chan, Golub and LeVeque (1983), so large means lose nothing. A column of equal
    targets gives 1 where it is met exactly and 0 otherwise, as in scikit-learn.
    """

    def zero(self) -> State:
        return {
            "count": np.zeros((), np.int64),
            "mean": np.zeros(0),
            "squares": np.zeros(0),
            "residual": np.zeros(0),
        }

    def update(self, outputs: Any, targets: Any) -> None:
        first, second = same_shape("R2", outputs, targets)
        rows = len(first) if first.ndim else 1
        f = first.reshape(rows, -1).astype(np.float64)
        y = second.reshape(rows, -1).astype(np.float64)
        mean = y.mean(axis=0)
        self.merge(
            {
                "count": np.int64(rows),
                "mean": mean,
                "squares": np.square(y - mean).sum(axis=0),
                "residual": np.square(y - f).sum(axis=0),
            }
        )

    def add(self, **more: Any) -> None:
        n, m = self.total("count"), float(more["count"])
        if n == 0 or m == 0:
            self._totals = self._totals if m == 0 else {k: np.array(v) for k, v in more.items()}
            return
        shift = more["mean"] - self._totals["mean"]
        self._totals = {
            "count": np.asarray(self._totals["count"] + more["count"]),
            "mean": self._totals["mean"] + shift * (m / (n + m)),
            "squares": self._totals["squares"] + more["squares"] + shift**2 * (n * m / (n + m)),
            "residual": self._totals["residual"] + more["residual"],
        }

    def compute(self) -> float:
        squares, residual = self._totals["squares"], self._totals["residual"]
        if self.total("count") == 0:
            return float("nan")
        constant = np.where(residual == 0.0, 1.0, 0.0)
        safe = np.where(squares == 0.0, 1.0, squares)
        return float(np.where(squares == 0.0, constant, 1.0 - residual / safe).mean())

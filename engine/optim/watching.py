"""Decisions that follow a metric: lower the learning rate, or stop. Small states that serialise."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal

from engine.errors import StateError

Mode = Literal["min", "max"]
Progress = dict[str, float | int | None]


class _Best:
    """The best value of a metric so far, and how many looks ago it was.

    mode: whether lower ("min") or higher ("max") is better.
    min_delta: by how much a value must be better to count. NaN and infinity never are.
    """

    def __init__(self, mode: Mode, min_delta: float) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        if min_delta < 0:
            raise ValueError(f"min_delta must be 0 or more, got {min_delta}")
        self.mode = mode
        self.min_delta = min_delta
        self.best: float | None = None
        self.looks_since = 0

    def look(self, value: float) -> bool:
        """Whether the value is the best so far."""
        if self.best is None:
            better = True
        elif self.mode == "min":
            better = value < self.best - self.min_delta
        else:
            better = value > self.best + self.min_delta
        better = better and isfinite(value)
        self.best = float(value) if better else self.best
        self.looks_since = 0 if better else self.looks_since + 1
        return better


class EarlyStopping:
    """Stop when a metric has not become better for `patience` looks in a row."""

    def __init__(self, patience: int, *, mode: Mode = "min", min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"patience must be 1 or more, got {patience}")
        self.patience = patience
        self._best = _Best(mode, min_delta)
        self.best_step: int | None = None

    @property
    def best(self) -> float | None:
        """The best value so far; None before one that is a number."""
        return self._best.best

    @property
    def should_stop(self) -> bool:
        return self._best.looks_since >= self.patience

    def update(self, value: float, step: int) -> bool:
        """Take a look at the metric; True where it is the best so far."""
        better = self._best.look(value)
        if better:
            self.best_step = step
        return better

    def state(self) -> Progress:
        """What a checkpoint must hold; JSON."""
        return {
            "best": self._best.best,
            "best_step": self.best_step,
            "looks_since": self._best.looks_since,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        _expect(state, self.state())
        self._best.best, self.best_step = state["best"], state["best_step"]
        self._best.looks_since = int(state["looks_since"])


class ReduceLROnPlateau:
    """Multiply the learning rate by `factor` when a metric has not become better for more than
    `patience` looks; then leave it alone for `cooldown` looks. Never below `min_lr`.

    As PyTorch's, with an absolute `min_delta` in place of its threshold.
    """

    def __init__(
        self,
        lr: float,
        *,
        factor: float = 0.1,
        patience: int = 10,
        mode: Mode = "min",
        min_delta: float = 0.0,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0.0 < factor < 1.0:
            raise ValueError(f"factor must be between 0 and 1, got {factor}")
        if patience < 0 or cooldown < 0:
            raise ValueError(f"patience {patience} and cooldown {cooldown} must be 0 or more")
        self.lr = lr
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._best = _Best(mode, min_delta)
        self._resting = 0

    def update(self, value: float) -> float:
        """Take a look at the metric; the learning rate from here on."""
        self._best.look(value)
        if self._resting > 0:
            self._resting -= 1
            self._best.looks_since = 0
        if self._best.looks_since > self.patience:
            self.lr = max(self.lr * self.factor, self.min_lr)
            self._resting = self.cooldown
            self._best.looks_since = 0
        return self.lr

    def state(self) -> Progress:
        """What a checkpoint must hold; JSON."""
        return {
            "lr": self.lr,
            "best": self._best.best,
            "looks_since": self._best.looks_since,
            "resting": self._resting,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        _expect(state, self.state())
        self.lr, self._best.best = float(state["lr"]), state["best"]
        self._best.looks_since, self._resting = int(state["looks_since"]), int(state["resting"])


def _expect(state: Mapping[str, Any], like: Mapping[str, Any]) -> None:
    if set(state) != set(like):
        raise StateError(f"a state of {sorted(like)} was expected, got {sorted(state)}")

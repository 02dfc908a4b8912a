"""Means of what steps report, over so many steps each: a series that no interruption changes."""

from collections.abc import Mapping
from typing import Any

MAX_POINTS = 500


def length(total_steps: int) -> int:
    """How many steps share a point, so that a job's series has about `MAX_POINTS` of them."""
    return max(1, -(-total_steps // MAX_POINTS))


class Window:
    """The sums of the steps since the last point; part of a checkpoint."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, values: Mapping[str, float]) -> None:
        sums = self._sums
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
        self._count += 1

    def take(self) -> dict[str, float]:
        """The means, and begin anew; nothing where no step was added."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def state(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "count": self._count}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._sums = {name: float(total) for name, total in state["sums"].items()}
        self._count = int(state["count"])

"""The loss that a training step makes small, and what it tells of each batch."""

from __future__ import annotations

from collections.abc import Mapping

import engine
from engine import Tensor
from spec.losses import LossPart
from spec.network import Network


class Objective:
    """`objective(network, batch)` gives (mean loss, metrics), as a training step wants it."""

    def __init__(self, loss: LossPart) -> None:
        self._loss = loss

    def __call__(
        self, network: Network, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        outputs, target = network(batch), batch["target"]
        further = {}
        if self._loss.target == "category":
            right = engine.eq(engine.cast(engine.argmax(outputs, 1), target.dtype), target)
            further["accuracy"] = engine.mean(engine.cast(right, "float32"))
        return engine.mean(self.rows(outputs, target)), further

    def rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The loss of each row: (rows,)."""
        return self._loss.rows(outputs, target)

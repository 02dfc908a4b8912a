"""Losses by name, and what each asks of the target and of the model's output."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field

import engine
from engine import Tensor
from spec.parts import Part, Positive, Rate, named


class LossPart(Part):
    #: The type of target that the loss is for.
    target: ClassVar[Literal["category", "number"]]

    def rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The loss of each row: outputs (N, width), target (N,) or (N, 1) → (N,)."""
        raise NotImplementedError


class CrossEntropy(LossPart):
    """Minus the log of the probability that softmax gives the right class; for categories."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "cross_entropy", "label_smoothing": 0.1}]}
    )
    target = "category"

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Rate = Field(
        default=0.0, description="Share of the target spread evenly over all classes."
    )

    def rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        smoothing = self.label_smoothing
        return engine.cross_entropy(outputs, target, reduction="none", label_smoothing=smoothing)


class MeanSquaredError(LossPart):
    """(prediction - target)², averaged; for numbers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "mse"}]})
    target = "number"

    name: Literal["mse"] = "mse"

    def rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        return engine.mean(engine.mse_loss(outputs, target, "none"), 1)


class MeanAbsoluteError(LossPart):
    """|prediction - target|, averaged; for numbers, and mild on outliers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "mae"}]})
    target = "number"

    name: Literal["mae"] = "mae"

    def rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        return engine.mean(engine.l1_loss(outputs, target, "none"), 1)


class Huber(LossPart):
    """Squared below delta and straight above it, averaged; for numbers with some outliers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "huber", "delta": 1.0}]})
    target = "number"

    name: Literal["huber"] = "huber"
    delta: Positive = Field(default=1.0, description="Where squared turns into straight.")

    def rows(self, outputs: Tensor, target: Tensor) -> Tensor:
        return engine.mean(engine.huber_loss(outputs, target, self.delta, "none"), 1)


LOSSES: dict[str, type[LossPart]] = {
    "cross_entropy": CrossEntropy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "huber": Huber,
}

_Any = Annotated[
    CrossEntropy | MeanSquaredError | MeanAbsoluteError | Huber, Field(discriminator="name")
]
Loss = Annotated[_Any, BeforeValidator(named(), json_schema_input_type=Literal[*LOSSES] | _Any)]


def default_loss(target: str) -> LossPart:
    """The loss of a target's type where the spec names none."""
    return CrossEntropy() if target == "category" else MeanSquaredError()

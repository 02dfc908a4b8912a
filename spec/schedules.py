"""Schedules by name: what becomes of the learning rate, step by step."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from engine.optim import schedules
from spec.parts import Part, named

Steps = Annotated[int, Field(ge=0, le=100_000_000)]
Factor = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class SchedulePart(Part):
    warmup_steps: Steps = Field(
        default=0, description="Steps over which the learning rate first rises from 0."
    )

    def make(self, lr: float, *, total: int, epoch: int) -> schedules.Schedule:
        """The learning rate of each step, from 0. total, epoch: how many steps they have."""
        main = self.main(lr, max(1, total - self.warmup_steps), epoch)
        return schedules.warmup(main, self.warmup_steps)

    def main(self, lr: float, total: int, epoch: int) -> schedules.Schedule:
        """The part behind the warm-up."""
        raise NotImplementedError


class Constant(SchedulePart):
    """The learning rate stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "constant"}]})

    name: Literal["constant"] = "constant"

    def main(self, lr: float, total: int, epoch: int) -> schedules.Schedule:
        return schedules.constant(lr)


class Cosine(SchedulePart):
    """The learning rate falls along half a cosine until the last step."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "cosine", "warmup_steps": 50}]}
    )

    name: Literal["cosine"] = "cosine"
    final: Factor = Field(default=0.0, description="Share of the learning rate left at the end.")

    def main(self, lr: float, total: int, epoch: int) -> schedules.Schedule:
        return schedules.cosine(lr, total, self.final * lr)


class LinearDecay(SchedulePart):
    """The learning rate falls in a straight line until the last step."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "linear", "warmup_steps": 50}]}
    )

    name: Literal["linear"] = "linear"
    final: Factor = Field(default=0.0, description="Share of the learning rate left at the end.")

    def main(self, lr: float, total: int, epoch: int) -> schedules.Schedule:
        return schedules.linear(lr, total, self.final * lr)


class Stepwise(SchedulePart):
    """The learning rate is multiplied by `factor` every so many epochs."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "step", "every_epochs": 10, "factor": 0.1}]}
    )

    name: Literal["step"] = "step"
    every_epochs: int = Field(ge=1, le=100_000, description="Epochs between two cuts.")
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.1, description="The cut.")

    def main(self, lr: float, total: int, epoch: int) -> schedules.Schedule:
        return schedules.step(lr, self.every_epochs * epoch, self.factor)


_Any = Annotated[Constant | Cosine | LinearDecay | Stepwise, Field(discriminator="name")]
Names = Literal["constant", "cosine", "linear"]
Schedule = Annotated[
    _Any, BeforeValidator(named("constant"), json_schema_input_type=Names | Constant | _Any)
]

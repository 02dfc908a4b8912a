"""The `train` part of a job spec: loss, optimizer, schedule, budget and when to stop."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from core.errors import Problem
from spec.losses import Loss
from spec.optimizers import AdamW, Optimizer
from spec.parts import NonNegative, Part, Positive, Rate, conflict, given, together
from spec.schedules import Constant, Schedule

DEFAULT_EPOCHS = 10
METRIC = r"^(train|validation)/[a-z][a-z0-9_]{0,40}$"


class EarlyStopping(Part):
    """Stop when a metric has not improved for some epochs."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"metric": "validation/loss", "patience": 5}]}
    )

    metric: str = Field(
        default="validation/loss",
        pattern=METRIC,
        description="The metric that is watched, looked at after every epoch.",
        examples=["validation/loss", "validation/accuracy"],
    )
    patience: int = Field(
        default=5, ge=1, le=10_000, description="Epochs without improvement before stopping."
    )
    min_delta: NonNegative = Field(
        default=0.0, description="A change smaller than this is no improvement."
    )
    mode: Literal["auto", "min", "max"] = Field(
        default="auto",
        description="Whether less is better; auto: less for losses and errors, more for "
        "accuracies and scores.",
    )
    restore_best: bool = Field(
        default=True, description="End with the weights of the best epoch, not of the last."
    )


class CheckpointPolicy(Part):
    """When the state of training is saved, so that it can go on after an interruption."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"every_seconds": 30, "every_epochs": 1, "keep": 2}]}
    )

    every_seconds: float = Field(
        default=30.0, ge=0, le=86_400, allow_inf_nan=False, description="0: never by time."
    )
    every_epochs: int = Field(default=1, ge=0, le=100_000, description="0: never by epoch.")
    keep: int = Field(default=2, ge=1, le=100, description="How many checkpoints are kept.")


class TrainSpec(Part):
    """How the model learns."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "optimizer": {"name": "adamw", "lr": 0.001, "weight_decay": 0.01},
                    "schedule": {"name": "cosine", "warmup_steps": 50},
                    "epochs": 20,
                    "batch_size": 64,
                }
            ],
            "not": given("epochs", "steps"),
        }
    )

    loss: Loss | None = Field(
        default=None,
        description="What is made small; cross_entropy for a category, mse for a number where "
        "left out.",
        examples=["cross_entropy", {"name": "cross_entropy", "label_smoothing": 0.1}],
    )
    optimizer: Optimizer = Field(
        default_factory=AdamW,
        description="How the weights follow the gradients.",
        examples=["adamw", {"name": "sgd", "lr": 0.1, "momentum": 0.9}],
    )
    schedule: Schedule = Field(
        default_factory=Constant,
        description="How the learning rate goes on from the optimizer's `lr`, by step.",
        examples=["constant", {"name": "cosine", "warmup_steps": 50}],
    )
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description=f"Passes over the training rows; {DEFAULT_EPOCHS} where neither epochs nor "
        "steps are given.",
        examples=[20],
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="Optimizer steps, in place of epochs.",
        examples=[5000],
    )
    batch_size: int = Field(
        default=64,
        ge=1,
        le=1_048_576,
        description="Rows a step.",
        examples=[64],
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="Every random choice follows from it: split, first weights, order, dropout.",
        examples=[0],
    )
    precision: Literal["float32"] = Field(
        default="float32", description="The numbers that are computed with."
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Parts in which a batch is worked through, their gradients added up: the same "
        "step with less memory. Statistics of batch_norm see the parts.",
        examples=[4],
    )
    clip_norm: Positive | None = Field(
        default=None,
        description="Scale the gradients down where their norm over all weights exceeds this.",
        examples=[1.0],
    )
    ema: Rate | None = Field(
        default=None,
        description="Decay of moving averages of the weights; validation, test and the finished "
        "model use them in place of the last weights.",
        examples=[0.999],
    )
    early_stopping: EarlyStopping | None = Field(
        default=None,
        description="Stop before the end when a metric no longer improves.",
        examples=[{"metric": "validation/loss", "patience": 5}],
    )
    checkpoint: CheckpointPolicy = Field(
        default_factory=CheckpointPolicy,
        description="When the state of training is saved.",
        examples=[{"every_seconds": 30, "every_epochs": 1, "keep": 2}],
    )

    @classmethod
    def conflicts(cls, written: dict[str, Any]) -> list[Problem]:
        if len(together(written, "epochs", "steps")) < 2:
            return []
        return [conflict("steps", "give either epochs or steps, not both", "remove one of them")]

    @model_validator(mode="before")
    @classmethod
    def _budget(cls, value: Any) -> Any:
        if isinstance(value, dict) and not together(value, "epochs", "steps"):
            return {**value, "epochs": DEFAULT_EPOCHS}
        return value

"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from core.errors import Problem
from engine import optim
from engine.nn import Parameter
from spec.parts import NonNegative, Part, Rate, conflict, named

Named = Iterable[tuple[str, Parameter]]

LearningRate = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Epsilon = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Betas = Annotated[list[Rate], Field(min_length=2, max_length=2)]


class OptimizerPart(Part):
    lr: LearningRate

    def options(self) -> dict[str, Any]:
        """The arguments of the engine's optimizer of that name."""
        return self.model_dump(exclude={"name"})

    def make(self, parameters: Named) -> optim.Optimizer:
        """The engine's optimizer of these parameters, by their dotted names."""
        raise NotImplementedError


class SGD(OptimizerPart):
    """Stochastic gradient descent, with momentum where asked for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "sgd", "lr": 0.1, "momentum": 0.9}],
            "if": {"required": ["nesterov"], "properties": {"nesterov": {"const": True}}},
            "then": {"required": ["momentum"], "properties": {"momentum": {"exclusiveMinimum": 0}}},
        }
    )

    name: Literal["sgd"] = "sgd"
    lr: LearningRate = Field(default=0.01, description="Learning rate.", examples=[0.1])
    momentum: Rate = Field(default=0.0, description="Share of the last direction that stays.")
    nesterov: bool = Field(default=False, description="Look ahead along the momentum.")
    weight_decay: NonNegative = Field(
        default=0.0, description="Pull of the weights towards 0, added to the gradient."
    )

    @classmethod
    def conflicts(cls, written: dict[str, Any]) -> list[Problem]:
        if written.get("nesterov") is True and not written.get("momentum"):
            detail = "nesterov looks ahead along the momentum, and there is none"
            return [conflict("nesterov", detail, "give momentum: 0.9, or leave nesterov out")]
        return []

    def make(self, parameters: Named) -> optim.Optimizer:
        return optim.SGD(parameters, **self.options())


class Adam(OptimizerPart):
    """Adam (Kingma and Ba 2015): each weight's step is scaled by its gradient's history."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "adam", "lr": 0.001}]})

    name: Literal["adam"] = "adam"
    lr: LearningRate = Field(default=0.001, description="Learning rate.", examples=[0.001])
    betas: Betas = Field(
        default=[0.9, 0.999], description="Decay of the averages of gradient and of its square."
    )
    eps: Epsilon = Field(default=1e-8, description="Keeps the division finite.")
    weight_decay: NonNegative = Field(
        default=0.0, description="Pull of the weights towards 0, added to the gradient."
    )

    def options(self) -> dict[str, Any]:
        return super().options() | {"betas": tuple(self.betas)}

    def make(self, parameters: Named) -> optim.Optimizer:
        return optim.Adam(parameters, **self.options())


class AdamW(OptimizerPart):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "adamw", "lr": 0.001, "weight_decay": 0.01}]}
    )

    name: Literal["adamw"] = "adamw"
    lr: LearningRate = Field(default=0.001, description="Learning rate.", examples=[0.001])
    betas: Betas = Field(
        default=[0.9, 0.999], description="Decay of the averages of gradient and of its square."
    )
    eps: Epsilon = Field(default=1e-8, description="Keeps the division finite.")
    weight_decay: NonNegative = Field(
        default=0.01, description="Pull of the weights towards 0 at every step."
    )

    def options(self) -> dict[str, Any]:
        return super().options() | {"betas": tuple(self.betas)}

    def make(self, parameters: Named) -> optim.Optimizer:
        return optim.AdamW(parameters, **self.options())


class RMSprop(OptimizerPart):
    """Each weight's step is scaled by the recent size of its gradient (Tieleman, Hinton 2012)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "rmsprop", "lr": 0.001, "momentum": 0.9}]}
    )

    name: Literal["rmsprop"] = "rmsprop"
    lr: LearningRate = Field(default=0.01, description="Learning rate.", examples=[0.001])
    alpha: Rate = Field(default=0.99, description="Decay of the average of squared gradients.")
    eps: Epsilon = Field(default=1e-8, description="Keeps the division finite.")
    momentum: Rate = Field(default=0.0, description="Share of the last direction that stays.")
    weight_decay: NonNegative = Field(
        default=0.0, description="Pull of the weights towards 0, added to the gradient."
    )

    def make(self, parameters: Named) -> optim.Optimizer:
        return optim.RMSprop(parameters, **self.options())


class Adagrad(OptimizerPart):
    """Each weight's step shrinks with all its gradients so far (Duchi, Hazan and Singer 2011)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "adagrad", "lr": 0.01}]})

    name: Literal["adagrad"] = "adagrad"
    lr: LearningRate = Field(default=0.01, description="Learning rate.", examples=[0.01])
    eps: Epsilon = Field(default=1e-10, description="Keeps the division finite.")
    weight_decay: NonNegative = Field(
        default=0.0, description="Pull of the weights towards 0, added to the gradient."
    )

    def make(self, parameters: Named) -> optim.Optimizer:
        return optim.Adagrad(parameters, **self.options())


_Any = Annotated[SGD | Adam | AdamW | RMSprop | Adagrad, Field(discriminator="name")]
Names = Literal["sgd", "adam", "adamw", "rmsprop", "adagrad"]
Optimizer = Annotated[
    _Any, BeforeValidator(named("adamw"), json_schema_input_type=Names | AdamW | _Any)
]

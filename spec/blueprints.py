"""Blueprints: models known by name, which expand into the layers that one could have written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from core.errors import Problem
from spec.layers.activations import Activation
from spec.layers.kinds import Signal
from spec.parts import Part, Rate, Width, named


def _several(value: Any) -> Any:
    """Read `128` as `[128]`."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


_Widths = Annotated[list[Width], Field(max_length=100)]
Widths = Annotated[_Widths, BeforeValidator(_several, json_schema_input_type=Width | _Widths)]
_Channels = Annotated[list[Width], Field(min_length=1, max_length=100)]
Channels = Annotated[_Channels, BeforeValidator(_several, json_schema_input_type=Width | _Channels)]


class Unfit(Exception):
    """The blueprint does not suit the inputs; carries the problem, seen from the blueprint."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Mlp(Part):
    """Linear layers with an activation after each, and a last one as wide as the target needs.

    Images are flattened; several inputs are put side by side.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "mlp", "hidden": [128, 64], "dropout": 0.1}]}
    )

    name: Literal["mlp"] = "mlp"
    hidden: Widths = Field(
        default=[128, 64], description="Widths of the hidden layers.", examples=[[128, 64]]
    )
    activation: Activation = Field(default="relu", description="After each hidden layer.")
    norm: Literal["none", "batch_norm", "layer_norm"] = Field(
        default="none", description="Between each hidden layer and its activation."
    )
    dropout: Rate = Field(default=0.0, description="After each hidden layer.")

    def expand(self, inputs: Mapping[str, Signal], outputs: int) -> list[Any]:
        """The layers as a document."""
        first = next(iter(inputs.values()))
        layers: list[Any] = ["flatten"] if len(inputs) == 1 and first.ndim > 1 else []
        for width in self.hidden:
            layers.append({"linear": width})
            layers += [] if self.norm == "none" else [self.norm]
            layers.append(self.activation)
            layers += [{"dropout": self.dropout}] if self.dropout else []
        return [*layers, {"linear": outputs}]


class ConvNet(Part):
    """Convolutions, each followed by pooling, then linear layers: for images.

    A stage is pooled only while the image is at least 4 wide and high.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "convnet", "channels": [32, 64], "hidden": [128]}]}
    )

    name: Literal["convnet"] = "convnet"
    channels: Channels = Field(
        default=[32, 64], description="Channels of each stage.", examples=[[32, 64]]
    )
    kernel_size: Literal[1, 3, 5, 7] = Field(default=3, description="Size of the window.")
    norm: Literal["none", "batch_norm"] = Field(
        default="batch_norm", description="After each convolution."
    )
    activation: Activation = Field(default="relu", description="After each convolution and layer.")
    pool: Literal["max", "avg", "none"] = Field(default="max", description="Ends each stage.")
    hidden: Widths = Field(
        default=[128], description="Widths of the linear layers before the last.", examples=[[128]]
    )
    dropout: Rate = Field(default=0.0, description="After each of those linear layers.")

    def expand(self, inputs: Mapping[str, Signal], outputs: int) -> list[Any]:
        """The layers as a document; Unfit where the input is not one image."""
        channels, height, width = _image(inputs)
        layers: list[Any] = []
        for stage in self.channels:
            layers.append({"conv2d": self._convolution(stage)})
            layers += [] if self.norm == "none" else [self.norm]
            layers.append(self.activation)
            if self.pool != "none" and min(height, width) >= 4:
                layers.append({f"{self.pool}_pool2d": 2})
                height, width = height // 2, width // 2
        layers.append("flatten")
        head = Mlp(hidden=self.hidden, activation=self.activation, dropout=self.dropout)
        return layers + head.expand({"features": Signal((channels,))}, outputs)

    def _convolution(self, channels: int) -> dict[str, Any]:
        return {
            "out_channels": channels,
            "kernel_size": self.kernel_size,
            "padding": "same",
            "bias": self.norm == "none",
        }


def _image(inputs: Mapping[str, Signal]) -> tuple[int, ...]:
    shapes = {name: list(signal.shape) for name, signal in inputs.items()}
    if len(inputs) == 1:
        (signal,) = inputs.values()
        if signal.ndim == 3:
            return signal.shape
    raise Unfit(
        Problem(
            "/name",
            "misfit",
            f"convnet wants one image as its input, not {shapes}",
            expected="one input [channels, height, width]",
            got=str(shapes),
            hint="use the blueprint mlp, or a graph for several inputs",
        )
    )


Names = Literal["mlp", "convnet"]
_Any = Annotated[Mlp | ConvNet, Field(discriminator="name")]
Blueprint = Annotated[_Any, BeforeValidator(named(), json_schema_input_type=Names | _Any)]

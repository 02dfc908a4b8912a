"""The layers that a spec can name."""

from spec.layers import (
    activations,
    attention,
    blocks,
    convolution,
    dense,
    normalization,
    pooling,
    recurrent,
    shapes,
)
from spec.layers.kinds import KINDS, Arguments, Misfit, Signal
from spec.layers.layer import Layer

__all__ = [
    "KINDS",
    "Arguments",
    "Layer",
    "Misfit",
    "Signal",
    "activations",
    "attention",
    "blocks",
    "convolution",
    "dense",
    "normalization",
    "pooling",
    "recurrent",
    "shapes",
]

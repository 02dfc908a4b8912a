"""Checks of the engine by itself: gradients against differences, samples of every operation."""

from engine.testing.gradcheck import gradcheck, gradgradcheck
from engine.testing.samples import samples

__all__ = ["gradcheck", "gradgradcheck", "samples"]

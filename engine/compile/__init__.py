"""Programs that are traced once and run often: training steps, inference, and what they cost."""

from engine.compile.analysis import Analysis, analyse
from engine.compile.inference import Inference
from engine.compile.plan import Plan
from engine.compile.step import TrainStep

__all__ = ["Analysis", "Inference", "Plan", "TrainStep", "analyse"]

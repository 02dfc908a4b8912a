"""What a trained model is judged by: which metrics a target has, and which of them should grow."""

from __future__ import annotations

from typing import Literal

TOP = 5
MANY_CLASSES = 10

#: Metrics that are better the larger they are; all others are losses and errors.
GROWING = {"accuracy", "f1", "auroc", "average_precision", "top5_accuracy", "r2"}


def names(target: str, classes: int | None) -> list[str]:
    """The metrics of validation and test for a target.

    Of two classes, the second is the one that auroc and average_precision look for.
    """
    if target == "number":
        return ["loss", "mse", "mae", "r2"]
    found = ["loss", "accuracy", "f1"]
    if classes == 2:
        found += ["auroc", "average_precision"]
    if classes is not None and classes >= MANY_CLASSES:
        found += ["top5_accuracy"]
    return found


def train_names(target: str) -> list[str]:
    """The metrics that training itself reports."""
    return ["loss", "accuracy"] if target == "category" else ["loss"]


def direction(metric: str) -> Literal["min", "max"]:
    """Whether a metric such as validation/accuracy should fall or grow."""
    return "max" if metric.rsplit("/", 1)[-1] in GROWING else "min"

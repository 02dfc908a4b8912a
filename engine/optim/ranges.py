"""The ranges that options of optimizers must keep to."""

from __future__ import annotations


def not_negative(name: str, value: float) -> None:
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{name} must be a finite number from 0, got {value}")


def fraction(name: str, value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must be from 0 up to but not including 1, got {value}")

"""Sizes in the arguments of layers: one number for every axis, or one for each."""

from __future__ import annotations

from collections.abc import Sequence

Size = int | Sequence[int]


def positive(name: str, value: int) -> int:
    """The value; ValueError unless it is a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number above 0, got {value!r}")
    return value


def tuple_of(name: str, value: Size, axes: int, *, least: int = 1) -> tuple[int, ...]:
    """A number for each axis; ValueError names what is too small or too many."""
    numbers = (value,) * axes if isinstance(value, int) else tuple(value)
    good = all(type(n) is int and n >= least for n in numbers)
    if len(numbers) != axes or not good:
        raise ValueError(
            f"{name} must be a whole number from {least}, or {axes} of them, got {value!r}"
        )
    return numbers


def told(value: tuple[int, ...]) -> str:
    """A size in words: 3 where all axes have 3."""
    return str(value[0]) if len(set(value)) == 1 else str(value)

"""Single raw values, as a row for prediction gives them, read as a file's cells would be."""

import math
from typing import Any

from spec.data.options import MISSING
from spec.data.tables import label
from spec.data.texts import is_number

ABSENT = frozenset(["", *MISSING])
TRUTH = {"true": 1.0, "false": 0.0}


def is_missing(value: Any) -> bool:
    """Whether a raw value stands for a missing one: null, NaN, blank or one of NA, ?, null."""
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, str) and value.strip() in ABSENT


def number(value: Any) -> float | None:
    """The finite number that a raw value is, NaN where it is missing, None where it is neither."""
    if is_missing(value):
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in TRUTH:
            return TRUTH[text.lower()]
        if not is_number(text):
            return None
        value = float(text)
    if isinstance(value, bool | int | float):
        try:
            found = float(value)
        except OverflowError:
            return None
        return found if math.isfinite(found) else None
    return None


def category(value: Any, *, numeric: bool) -> str | None:
    """The label of a raw value; None where it is no single value."""
    if isinstance(value, str):
        text = value.strip()
        return label(float(text)) if numeric and is_number(text) else text
    if isinstance(value, bool | int | float):
        return label(value)
    return None


def shown(value: Any) -> str:
    """A raw value as a problem shows it."""
    return repr(value)[:60]

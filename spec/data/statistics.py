"""What a column of numbers holds: range, spread, quantiles, how many different values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPAN = 65_536
SAMPLE = 1_000_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ROWS = 8192


@dataclass(frozen=True)
class Summary:
    """Statistics of the finite values. `exact` is false where the values were sampled."""

    count: int
    infinite: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    quantiles: dict[str, float]
    values: NDArray[Any]
    counts: NDArray[np.int64]
    exact: bool


def summary(values: NDArray[Any]) -> Summary:
    """Statistics of a vector without missing values."""
    infinite = 0
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        infinite = int(len(values) - finite.sum())
        values = values if infinite == 0 else values[finite]
    if len(values) == 0:
        return Summary(0, infinite, None, None, None, None, {}, values, np.empty(0, int), True)
    found, counts, exact = _distinct(values)
    wide = found.astype(np.float64)
    low, high = float(wide[0]), float(wide[-1])
    mean, std = _spread(wide, counts) if exact else moments(values[:, None])
    quantiles = dict(zip(map(str, QUANTILES), _quantiles(wide, counts), strict=True))
    if not exact:
        low, high = float(values.min()), float(values.max())
        mean, std = mean[0], std[0]
    return Summary(
        len(values), infinite, low, high, float(mean), float(std), quantiles, found, counts, exact
    )


def _distinct(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], bool]:
    """Different values in order and how often each occurs; of a sample where there are many."""
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        if high - low < SPAN:
            shifted = values if low == 0 else values.astype(np.int64) - low
            counts = np.bincount(shifted)
            present = np.flatnonzero(counts)
            return present + low, counts[present], True
    step = -(-len(values) // SAMPLE)
    found, counts = np.unique(values[::step], return_counts=True)
    return found, counts, step == 1


def _spread(values: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[Any, Any]:
    total = counts.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = (values * (counts / total)).sum()
        std = np.sqrt((np.square(values - mean) * (counts / total)).sum())
    return mean, std


def _quantiles(values: NDArray[np.float64], counts: NDArray[np.int64]) -> list[float]:
    """The smallest value that at least this share of the values does not exceed."""
    ends = np.cumsum(counts)
    at = np.searchsorted(ends, np.array(QUANTILES) * ends[-1], side="left")
    return [float(value) for value in values[np.minimum(at, len(values) - 1)]]


def moments(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each column of (rows, columns), NaN left out, in bounded memory.

    Two passes in float64: mean = sum(x) / n, then std = sqrt(sum((x - mean)^2) / n).
    """
    count = np.zeros(values.shape[1])
    total = np.zeros(values.shape[1])
    for start in range(0, len(values), ROWS):
        part = values[start : start + ROWS].astype(np.float64)
        good = ~np.isnan(part)
        count += good.sum(0)
        total += np.where(good, part, 0).sum(0)
    mean = total / np.maximum(count, 1)
    square = np.zeros(values.shape[1])
    for start in range(0, len(values), ROWS):
        part = values[start : start + ROWS].astype(np.float64) - mean
        square += np.where(np.isnan(part), 0, np.square(part)).sum(0)
    return mean, np.sqrt(square / np.maximum(count, 1))

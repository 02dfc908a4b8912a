"""Samplers: which examples an epoch visits, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Any, Protocol

import numpy as np

from engine.data.order import permutation, uniforms


class Sampler(Protocol):
    def __len__(self) -> int: ...

    def order(self, epoch: int) -> np.ndarray:
        """The indices of one epoch, int64: a function of the epoch and nothing that changes."""
        ...


@dataclass(frozen=True)
class SequentialSampler:
    """0, 1, 2, … in every epoch."""

    n: int

    def __len__(self) -> int:
        return self.n

    def order(self, epoch: int) -> np.ndarray:
        return np.arange(self.n, dtype=np.int64)


@dataclass(frozen=True)
class ShuffledSampler:
    """Each example once, in an order of (seed, epoch)."""

    n: int
    seed: int = 0

    def __len__(self) -> int:
        return self.n

    def order(self, epoch: int) -> np.ndarray:
        return permutation(self.n, seed=self.seed, epoch=epoch)


@dataclass(frozen=True, eq=False)
class WeightedSampler:
    """Examples drawn in proportion to weights that need not add up to 1.

    With replacement by inverting the cumulative weights; without, by the exponential keys of
    Efraimidis and Spirakis (2006), so that heavy examples tend to come first.
    """

    weights: Any
    num_samples: int | None = None
    replacement: bool = True
    seed: int = 0
    _weights: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        weights = np.asarray(self.weights, np.float64)
        if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError("weights must be one row of finite numbers from 0")
        positive = int((weights > 0).sum())
        if positive == 0:
            raise ValueError("at least one weight must be above 0")
        if not self.replacement and len(self._chosen(len(weights))) > positive:
            raise ValueError(
                f"{len(self._chosen(len(weights)))} different examples were asked of {positive} "
                "with a weight above 0"
            )
        object.__setattr__(self, "_weights", weights)

    def _chosen(self, n: int) -> range:
        return range(n if self.num_samples is None else self.num_samples)

    def __len__(self) -> int:
        return len(self._chosen(len(self._weights)))

    def order(self, epoch: int) -> np.ndarray:
        if self.replacement:
            draws = uniforms(len(self), seed=self.seed, epoch=epoch, purpose="weighted")
            edges = np.cumsum(self._weights)
            last = int(np.flatnonzero(self._weights)[-1])
            found: np.ndarray = np.searchsorted(edges, draws * edges[-1], side="right")
            return found.clip(0, last)
        draws = uniforms(len(self._weights), seed=self.seed, epoch=epoch, purpose="weighted")
        with np.errstate(divide="ignore"):
            waits = -np.log1p(-draws) / self._weights  # exponential times of rate w
        waits[self._weights == 0] = np.inf
        return np.argsort(waits, kind="stable")[: len(self)].astype(np.int64)


@dataclass(frozen=True, eq=False)
class StratifiedSampler:
    """Each example once, every class spread evenly over the epoch.

    The i-th of the n examples of a class, in keyed order, comes at (i + u) / n of the way, with
    u in [0, 1) drawn for each; so each batch has about the proportions of the whole.
    """

    labels: Any
    seed: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def order(self, epoch: int) -> np.ndarray:
        labels = np.asarray(self.labels)
        mixed = permutation(len(labels), seed=self.seed, epoch=epoch)
        _, classes, counts = np.unique(labels[mixed], return_inverse=True, return_counts=True)
        by_class = np.argsort(classes, kind="stable")
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        rank = np.empty(len(labels))
        rank[by_class] = np.arange(len(labels)) - starts
        draws = uniforms(len(labels), seed=self.seed, epoch=epoch, purpose="stratified")
        place = (rank + draws) / counts[classes]
        return np.take(mixed, np.argsort(place, kind="stable"))


@dataclass(frozen=True, eq=False)
class BucketSampler:
    """Each example once, in batches of about equal length, so that little is padding.

    The shuffled epoch is cut into windows of `window` batches; each window is sorted by length
    and cut into batches, and the batches of the epoch are shuffled.
    """

    lengths: Any
    batch_size: int
    seed: int = 0
    window: int = 64

    def __len__(self) -> int:
        return len(self.lengths)

    def order(self, epoch: int) -> np.ndarray:
        lengths = np.asarray(self.lengths)
        mixed = permutation(len(lengths), seed=self.seed, epoch=epoch)
        span = self.window * self.batch_size
        windows = [mixed[i : i + span] for i in range(0, len(mixed), span)]
        rows = [w[np.argsort(lengths[w], kind="stable")] for w in windows]
        size = self.batch_size
        batches = [row[i : i + size] for row in rows for i in range(0, len(row), size)]
        whole = [b for b in batches if len(b) == size]
        torn = [b for b in batches if len(b) < size]  # at most one, and last, as loaders expect
        turns = permutation(len(whole), seed=self.seed + 1, epoch=epoch)
        return np.concatenate([*(whole[i] for i in turns), *torn, np.empty(0, np.int64)])


@dataclass(frozen=True)
class DistributedSampler:
    """The share of one of `world` processes: every world-th example of another sampler.

    All shares are equally long: the order is filled up from its start, or with `drop_last` cut.
    """

    sampler: Sampler
    rank: int
    world: int
    drop_last: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank must be from 0 to {self.world - 1}, got {self.rank}")

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.world if self.drop_last else ceil(n / self.world)

    def order(self, epoch: int) -> np.ndarray:
        whole = self.sampler.order(epoch)
        return np.resize(whole, len(self) * self.world)[self.rank :: self.world]

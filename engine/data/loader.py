"""The loader: batches of an epoch, gathered in the background, in an order that never changes."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from math import ceil
from typing import Any, Self

import numpy as np

from engine.data.dataset import Batch, Dataset
from engine.data.samplers import Sampler, SequentialSampler, ShuffledSampler

Gather = Callable[[int], Batch]


class DataLoader:
    """Batches of a dataset.

    batch_size: rows of a batch; the last one is shorter unless `drop_last`.
    shuffle, seed: a new order in every epoch, a function of (seed, epoch) alone.
    sampler: another order; excludes `shuffle`.
    prefetch: how many batches may be ready or under way; 0 gathers when asked, in this thread.
    workers: threads that gather. NumPy lets them run side by side; so do readers of files.
    transform: applied to each batch where it is gathered, as `transform(batch)`.
    reuse: give out the same memory again; a batch is then valid until the next one is taken.
        Needs a dataset whose `gather` takes `out=`, such as ArrayDataset.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        sampler: Sampler | None = None,
        drop_last: bool = False,
        prefetch: int = 2,
        workers: int = 1,
        transform: Callable[[Batch], Batch] | None = None,
        reuse: bool = False,
    ) -> None:
        _at_least("batch_size", batch_size, 1)
        _at_least("prefetch", prefetch, 0)
        _at_least("workers", workers, 1)
        if sampler is not None and shuffle:
            raise ValueError("a sampler sets the order; leave shuffle=False beside it")
        n = len(dataset)
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler or (ShuffledSampler(n, seed) if shuffle else SequentialSampler(n))
        self.drop_last = drop_last
        self.prefetch = prefetch
        self.workers = workers
        self.transform = transform
        self.reuse = reuse

    def __len__(self) -> int:
        """Batches of an epoch."""
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else ceil(n / self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Batches:
        """The batches of one epoch from batch `start` on.

        The batches are those of a full epoch whatever the start, the prefetch and the workers.
        """
        total = len(self)
        if not 0 <= start <= total:
            raise ValueError(f"start must be from 0 to {total}, the batches of an epoch: {start}")
        gather = _Gather(self, self.sampler.order(epoch))
        if self.prefetch == 0:
            return Batches(gather, start, total, prefetch=0, workers=1)
        return Batches(gather, start, total, prefetch=self.prefetch, workers=self.workers)


class Batches:
    """The batches of one epoch, one at a time.

    Threads end when the epoch does, at `close()`, at the end of a `with` block, or when the
    object is let go (after `break`). An error while gathering is raised here, with its traceback,
    in place of the batch that it spoiled; the iteration is over then.
    """

    def __init__(
        self, gather: Gather, start: int, total: int, *, prefetch: int, workers: int
    ) -> None:
        self._gather = gather
        self._next = start
        self._submitted = start
        self._total = total
        self._prefetch = prefetch
        self._futures: deque[Future[Batch]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        if prefetch and start < total:
            self._pool = ThreadPoolExecutor(workers, f"loader-{next(_numbers)}")
            self._finalizer = weakref.finalize(self, _let_go, self._pool)
            self._submit()

    @property
    def position(self) -> int:
        """The number of the batch that comes next: `start` for a resumed epoch."""
        return self._next

    def __len__(self) -> int:
        """Batches still to come."""
        return self._total - self._next

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._next >= self._total:
            self.close()
            raise StopIteration
        try:
            batch = self._take()
        except BaseException:
            self.close()
            raise
        self._next += 1
        if self._pool is not None:
            self._futures.popleft()
            self._submit()
        return batch

    def _take(self) -> Batch:
        return self._gather(self._next) if self._pool is None else self._futures[0].result()

    def _submit(self) -> None:
        assert self._pool is not None
        ahead = min(self._total, self._next + self._prefetch)
        while self._submitted < ahead:
            self._futures.append(self._pool.submit(self._gather, self._submitted))
            self._submitted += 1

    def close(self) -> None:
        """End the threads and wait for them; a second call does nothing."""
        self._total = self._next
        self._futures.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._finalizer.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_numbers = count()


class _Gather:
    """Makes batch number i of an epoch; called from several threads."""

    def __init__(self, loader: DataLoader, order: np.ndarray) -> None:
        self._dataset = loader.dataset
        self._size = loader.batch_size
        self._transform = loader.transform
        self._order = order
        # Batch i takes the memory of batch i - slots. In use at once are the prefetched batches,
        # the one the caller holds and, while it is being replaced, the one after.
        self._slots = loader.prefetch + 2 if loader.reuse else 0
        self._memory: dict[int, Batch] = {}

    def __call__(self, number: int) -> Batch:
        rows = self._order[number * self._size : (number + 1) * self._size]
        batch = self._reuse(number, rows) if self._slots else self._dataset.gather(rows)
        return batch if self._transform is None else self._transform(batch)

    def _reuse(self, number: int, rows: np.ndarray) -> Batch:
        dataset: Any = self._dataset
        slot = number % self._slots
        held = self._memory.get(slot)
        if held is None:
            self._memory[slot] = fresh = dataset.gather(rows)
            return dict(fresh)
        out = {name: array[: len(rows)] for name, array in held.items()}
        filled: Batch = dataset.gather(rows, out=out)
        return filled


def _let_go(pool: ThreadPoolExecutor) -> None:
    """The iterator is gone: stop, without waiting, since this may run in any thread."""
    pool.shutdown(wait=False, cancel_futures=True)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be {least} or more, got {value}")

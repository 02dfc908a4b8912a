"""The loader: order, bounds, errors and shutdown."""

import gc
import threading
import time
import traceback
from collections.abc import Callable

import numpy as np
import pytest

from engine.data import ArrayDataset, Batch, DataLoader, SequentialSampler

WAYS = [(0, 1), (1, 1), (2, 1), (3, 4), (10, 2)]


def loader_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("loader-")]


def eventually(met: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if met():
            return True
        time.sleep(0.01)
    return met()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> object:
    yield
    assert eventually(lambda: not loader_threads()), loader_threads()


def numbers(n: int = 23) -> ArrayDataset:
    return ArrayDataset({"x": np.arange(n), "y": np.arange(n) * 2.0})


class Slow:
    """A dataset that takes its time, counts its gatherers and fails at a row."""

    def __init__(self, n: int = 40, *, seconds: float = 0.002, fails_at: int = -1) -> None:
        self.n, self.seconds, self.fails_at = n, seconds, fails_at
        self.gathered: list[int] = []

    def __len__(self) -> int:
        return self.n

    def gather(self, indices: np.ndarray) -> Batch:
        time.sleep(self.seconds * (1 + indices[0] % 3))  # later batches may be ready first
        self.gathered.append(int(indices[0]))
        if self.fails_at in indices:
            raise ArithmeticError(f"row {self.fails_at} is spoiled")
        return {"x": np.array(indices)}


@pytest.mark.parametrize(("prefetch", "workers"), WAYS)
def test_batches_are_the_same_however_they_are_loaded(prefetch: int, workers: int) -> None:
    plain = DataLoader(numbers(), batch_size=5, shuffle=True, seed=7, prefetch=0)
    loader = DataLoader(
        numbers(), batch_size=5, shuffle=True, seed=7, prefetch=prefetch, workers=workers
    )
    for epoch in range(3):
        expected, found = list(plain.epoch(epoch)), list(loader.epoch(epoch))
        assert len(found) == len(loader) == 5
        for first, second in zip(expected, found, strict=True):
            np.testing.assert_array_equal(first["x"], second["x"])
            np.testing.assert_array_equal(first["x"] * 2.0, second["y"])


def test_slow_threads_do_not_change_the_order() -> None:
    loader = DataLoader(Slow(), batch_size=2, prefetch=6, workers=4)
    rows = np.concatenate([batch["x"] for batch in loader.epoch(0)])
    np.testing.assert_array_equal(rows, np.arange(40))


@pytest.mark.parametrize(("drop_last", "batches"), [(False, 5), (True, 4)])
def test_the_last_batch_is_short_or_dropped(drop_last: bool, batches: int) -> None:
    loader = DataLoader(numbers(), batch_size=5, drop_last=drop_last)
    sizes = [len(batch["x"]) for batch in loader.epoch(0)]
    assert sizes == [5, 5, 5, 5, 3][:batches]


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("start", [0, 1, 4, 5])
def test_a_resumed_epoch_goes_on_where_it_was(prefetch: int, start: int) -> None:
    loader = DataLoader(numbers(), batch_size=5, shuffle=True, prefetch=prefetch)
    whole = [batch["x"].tolist() for batch in loader.epoch(4)]
    with loader.epoch(4, start=start) as batches:
        assert batches.position == start
        assert len(batches) == 5 - start
        assert [batch["x"].tolist() for batch in batches] == whole[start:]


@pytest.mark.parametrize("start", [-1, 6])
def test_a_start_outside_the_epoch_is_refused(start: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 5"):
        DataLoader(numbers(), batch_size=5).epoch(0, start=start)


def test_no_more_is_loaded_than_prefetch_allows() -> None:
    dataset = Slow(seconds=0.0)
    with DataLoader(dataset, batch_size=1, prefetch=3, workers=2).epoch(0) as batches:
        next(batches)
        assert eventually(lambda: len(dataset.gathered) == 4)
        time.sleep(0.05)
        assert sorted(dataset.gathered) == [0, 1, 2, 3]


def test_with_prefetch_the_next_batch_loads_while_the_caller_works() -> None:
    dataset = Slow(seconds=0.0)
    with DataLoader(dataset, batch_size=1, prefetch=1).epoch(0) as batches:
        next(batches)
        assert eventually(lambda: dataset.gathered == [0, 1])


def test_without_prefetch_nothing_runs_in_the_background() -> None:
    dataset = Slow(seconds=0.0)
    batches = DataLoader(dataset, batch_size=1, prefetch=0).epoch(0)
    next(batches)
    assert dataset.gathered == [0]
    assert not loader_threads()


@pytest.mark.parametrize(("prefetch", "workers"), WAYS)
def test_an_error_comes_in_its_turn_with_its_traceback(prefetch: int, workers: int) -> None:
    loader = DataLoader(Slow(fails_at=6), batch_size=2, prefetch=prefetch, workers=workers)
    batches = loader.epoch(0)
    for _ in range(3):
        next(batches)
    with pytest.raises(ArithmeticError, match="row 6 is spoiled") as failed:
        next(batches)
    told = "".join(traceback.format_exception(failed.value))
    assert "in gather" in told
    assert not loader_threads()
    with pytest.raises(StopIteration):
        next(batches)


@pytest.mark.parametrize("way", ["break", "close", "with", "error", "cycle"])
def test_threads_end_when_the_loop_does(way: str) -> None:
    loader = DataLoader(Slow(), batch_size=1, prefetch=4, workers=3)
    batches = loader.epoch(0)
    next(batches)
    assert loader_threads()
    if way == "close":
        batches.close()
        batches.close()
        assert not loader_threads()
        assert list(batches) == []
    elif way == "with":
        with batches:
            next(batches)
        assert not loader_threads()
    elif way == "cycle":
        batches.itself = batches  # type: ignore[attr-defined]
    elif way == "error":
        with pytest.raises(ZeroDivisionError):
            next(1 // 0 for _ in batches)
    else:
        for _ in batches:
            break
    del batches
    gc.collect()
    assert eventually(lambda: not loader_threads())


def test_many_abandoned_epochs_leave_no_thread() -> None:
    loader = DataLoader(numbers(), batch_size=1, prefetch=2)
    for epoch in range(30):
        for _ in loader.epoch(epoch):
            break
    assert eventually(lambda: not loader_threads())


def test_two_epochs_can_run_side_by_side() -> None:
    loader = DataLoader(numbers(), batch_size=4, shuffle=True)
    pairs = list(zip(loader.epoch(0), loader.epoch(0), strict=True))
    assert all(np.array_equal(a["x"], b["x"]) for a, b in pairs)


def test_a_transform_is_applied_to_every_batch() -> None:
    loader = DataLoader(numbers(), batch_size=5, transform=lambda b: {"z": b["x"] + 100})
    assert [int(b["z"][0]) for b in loader.epoch(0)] == [100, 105, 110, 115, 120]


@pytest.mark.parametrize(("prefetch", "workers"), WAYS)
def test_reused_memory_holds_a_batch_until_the_next_is_taken(prefetch: int, workers: int) -> None:
    loader = DataLoader(numbers(200), batch_size=3, prefetch=prefetch, workers=workers, reuse=True)
    plain = DataLoader(numbers(200), batch_size=3, prefetch=0)
    places = set()
    for found, expected in zip(loader.epoch(0), plain.epoch(0), strict=True):
        time.sleep(0.0005)  # let the threads write over what they may
        np.testing.assert_array_equal(found["x"], expected["x"])
        np.testing.assert_array_equal(found["y"], expected["y"])
        places.add(found["x"].__array_interface__["data"][0])
    assert len(places) <= prefetch + 2


def test_an_empty_dataset_has_no_batches() -> None:
    empty = ArrayDataset({"x": np.zeros((0, 3))})
    assert list(DataLoader(empty, batch_size=4).epoch(0)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be 1"),
        ({"batch_size": 1, "prefetch": -1}, "prefetch must be 0"),
        ({"batch_size": 1, "workers": 0}, "workers must be 1"),
        ({"batch_size": 1, "shuffle": True, "sampler": SequentialSampler(2)}, "sampler sets"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataLoader(numbers(), **arguments)

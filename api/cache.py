"""A short-lived cache in which a stampede of misses loads once, and steady askers never wait."""

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

AHEAD = 0.5  # of its time after which a value that is asked for is loaded anew beside


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Value]):
    value: Value
    ageing: float
    until: float
    load: Callable[[], Value]


class Cache(Generic[Key, Value]):
    """Values no older than `seconds`, at most `size` of them.

    Used from one event loop; only `forget` may be called from other threads.
    """

    def __init__(self, *, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._size = size
        self._entries: dict[Key, _Entry[Value]] = {}
        self._loading: dict[Key, asyncio.Task[Value]] = {}

    def fresh(self, key: Key) -> Value | None:
        """The value, if it is fresh; one that is ageing is loaded anew while it is handed out."""
        entry = self._entries.get(key)
        now = time.monotonic()
        if entry is None or entry.until < now:
            return None
        if entry.ageing < now and key not in self._loading:
            self._start(key, entry.load)
        return entry.value

    async def get(self, key: Key, load: Callable[[], Value]) -> Value:
        """The fresh value, or what `load` returns in a thread; its errors are not kept."""
        value = self.fresh(key)
        if value is not None:
            return value
        task = self._loading.get(key) or self._start(key, load)
        # Shielded: a caller that hangs up must not fail the others who wait.
        return await asyncio.shield(task)

    def forget(self, key: Key) -> None:
        """Drop the value, also one that is being loaded right now."""
        self._loading.pop(key, None)
        self._entries.pop(key, None)

    def forget_where(self, matches: Callable[[Value], bool]) -> None:
        self._loading.clear()
        for key, entry in list(self._entries.items()):
            if matches(entry.value):
                self._entries.pop(key, None)

    def _start(self, key: Key, load: Callable[[], Value]) -> asyncio.Task[Value]:
        task = asyncio.create_task(self._load(key, load))
        self._loading[key] = task
        task.add_done_callback(lambda done: self._done(key, done))
        return task

    async def _load(self, key: Key, load: Callable[[], Value]) -> Value:
        asked = time.monotonic()
        value = await run_in_threadpool(load)
        if self._loading.get(key) is asyncio.current_task():
            self._make_room(key)
            self._entries[key] = _Entry(
                value, asked + AHEAD * self._seconds, asked + self._seconds, load
            )
        return value

    def _done(self, key: Key, task: asyncio.Task[Value]) -> None:
        mine = self._loading.get(key) is task
        if mine:
            del self._loading[key]
        # Asking for the exception here keeps a load that nobody awaits from warning.
        if not task.cancelled() and task.exception() is not None and mine:
            self._entries.pop(key, None)

    def _make_room(self, key: Key) -> None:
        if key in self._entries or len(self._entries) < self._size:
            return
        now = time.monotonic()
        for old in [old for old, entry in self._entries.items() if entry.until < now]:
            self._entries.pop(old, None)
        while len(self._entries) >= self._size:
            self._entries.pop(next(iter(self._entries)))

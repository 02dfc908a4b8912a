"""The short-lived cache: fresh for its time, loaded once, bounded."""

import asyncio
import time

import pytest

from api.cache import Cache


def test_a_value_is_fresh_for_its_time():
    async def scene():
        cache = Cache(seconds=0.1, size=10)
        loads = iter(range(10))
        first = await cache.get("a", lambda: next(loads))
        again = await cache.get("a", lambda: next(loads))
        await asyncio.sleep(0.12)
        return first, again, cache.fresh("a"), await cache.get("a", lambda: next(loads))

    assert asyncio.run(scene()) == (0, 0, None, 1)


def test_a_value_that_is_asked_for_all_the_time_is_renewed_and_never_waited_for():
    async def scene():
        cache = Cache(seconds=1, size=10)
        loads = iter(range(1000))
        await cache.get("a", lambda: next(loads))
        found = []
        end = time.monotonic() + 1.7
        while time.monotonic() < end:
            found.append(cache.fresh("a"))
            await asyncio.sleep(0.01)
        return found

    found = asyncio.run(scene())
    assert None not in found
    assert set(found) >= {0, 1, 2}


def test_a_value_that_cannot_be_renewed_is_dropped():
    async def scene():
        cache = Cache(seconds=2, size=10)
        answers = ["once"]
        await cache.get("a", answers.pop)
        started = time.monotonic()
        while cache.fresh("a") is not None:
            await asyncio.sleep(0.01)
        return time.monotonic() - started

    assert 0.9 < asyncio.run(scene()) < 1.9  # not before it aged, and not only when it was stale


def test_age_counts_from_the_question_not_from_the_answer():
    async def scene():
        cache = Cache(seconds=0.1, size=10)
        await cache.get("a", lambda: time.sleep(0.15) or 1)
        return cache.fresh("a")

    assert asyncio.run(scene()) is None


def test_a_stampede_loads_once():
    loads = []

    async def scene():
        cache = Cache(seconds=1, size=10)

        def load():
            loads.append(1)
            time.sleep(0.05)
            return "value"

        return await asyncio.gather(*(cache.get("a", load) for _ in range(100)))

    assert set(asyncio.run(scene())) == {"value"}
    assert len(loads) == 1


def test_an_error_reaches_all_who_wait_and_is_not_kept():
    async def scene():
        cache = Cache(seconds=1, size=10)
        waiting = [cache.get("a", lambda: 1 / 0) for _ in range(3)]
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        return errors, await cache.get("a", lambda: "mended")

    errors, value = asyncio.run(scene())
    assert [type(error) for error in errors] == [ZeroDivisionError] * 3
    assert value == "mended"


def test_one_who_hangs_up_does_not_fail_the_others():
    async def scene():
        cache = Cache(seconds=1, size=10)
        first = asyncio.create_task(cache.get("a", lambda: time.sleep(0.1) or "value"))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(cache.get("a", lambda: "another"))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(scene()) == "value"


def test_what_is_forgotten_while_it_loads_is_not_kept():
    async def scene():
        cache = Cache(seconds=1, size=10)
        loading = asyncio.create_task(cache.get("a", lambda: time.sleep(0.05) or "old"))
        await asyncio.sleep(0.02)
        cache.forget("a")
        await loading
        return cache.fresh("a")

    assert asyncio.run(scene()) is None


def test_it_holds_no_more_than_its_size():
    async def scene():
        cache = Cache(seconds=10, size=3)
        for number in range(10):
            await cache.get(number, lambda number=number: number)
        return [number for number in range(10) if cache.fresh(number) is not None]

    assert asyncio.run(scene()) == [7, 8, 9]


def test_values_are_forgotten_by_what_they_are():
    async def scene():
        cache = Cache(seconds=10, size=10)
        for number in range(4):
            await cache.get(str(number), lambda number=number: number)
        cache.forget_where(lambda value: value % 2)
        return [cache.fresh(str(number)) for number in range(4)]

    assert asyncio.run(scene()) == [0, None, 2, None]

"""One thread or all of them for work of microseconds: whichever is sooner, by trial.

A thread that another program has pushed off its processor holds up all others, and then a short
plan takes several times as long as alone. Results do not depend on the number of threads, so the
choice is free; it is looked at again now and then, and sooner where one thread has just won: as a
rule somebody else was busy for a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

#: Calls of a trial of each way, how many of the slowest do not count, and calls between trials; so
#: many after one thread has won, twice as many each time that it wins again.
TRIAL, DROPPED, PERIOD, SOON = 8, 2, 1000, 32
#: Calls of all threads ahead of a trial: those that slept have nothing of the work in their caches.
WARMING = 16
#: Seconds from which all threads are worth their company.
LONG = 0.002

Run = Callable[[], int]


class Pace:
    """Two ways to do the same: `alone` and `together`. Call it to have it done.

    clock: seconds, for tests.
    """

    def __init__(
        self, alone: Run, together: Run, *, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._ways = (together, alone)
        self._clock = clock
        self._best = together
        self._left = 0  # calls until the next trial
        self._warming = WARMING
        self._soon = SOON
        self._spent: tuple[list[float], list[float]] = ([], [])

    def __call__(self) -> int:
        if self._left:
            self._left -= 1
            return self._best()
        return self._try()

    def _try(self) -> int:
        if self._warming:
            self._warming -= 1
            return self._ways[0]()
        together, alone = self._spent
        way = int(len(together) == TRIAL)
        start = self._clock()
        done = self._ways[way]()
        self._spent[way].append(self._clock() - start)
        if len(alone) == TRIAL or (len(together) == TRIAL and self._total(0) > LONG):
            self._choose()
        return done

    def _choose(self) -> None:
        is_long = not self._spent[1]
        wins_alone = not is_long and self._total(1) < self._total(0)
        self._best = self._ways[wins_alone]
        self._spent, self._warming = ([], []), WARMING
        self._left = self._soon if wins_alone else PERIOD
        self._soon = min(2 * self._soon, PERIOD) if wins_alone else SOON

    def _total(self, way: int) -> float:
        """Seconds of a call, the slowest and so the first left out."""
        counted = sorted(self._spent[way])[:-DROPPED]
        return sum(counted) / len(counted)

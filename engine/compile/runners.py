"""A few plans at hand, one for each shape of input, that take turns in one arena."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

import numpy as np

from engine import aligned
from engine.compile.backend import Backend
from engine.compile.interpreter import Interpreter
from engine.compile.plan import Plan

#: How many plans are kept; the one unused for longest goes first.
CAPACITY = 16


class Runners:
    """Plans ready to run, by key. Only one of them runs at a time, so they share their memory.

    backend: what runs them; the interpreter unless told.
    """

    def __init__(self, capacity: int = CAPACITY, backend: Backend | None = None) -> None:
        self._capacity = capacity
        self.backend = backend or Backend("interpreter")
        self._plans: OrderedDict[Hashable, Plan] = OrderedDict()
        self._ready: dict[Hashable, Interpreter] = {}
        self._latest: tuple[Hashable, Interpreter] | None = None
        self._arena = aligned.memory(0)
        self._faults = self.backend.faults

    def clear(self) -> None:
        """Forget all plans, and give back the memory."""
        self.__init__(self._capacity, self.backend)  # type: ignore[misc]

    def latest(self, key: Hashable) -> Interpreter | None:
        """What was found last, if it was for this key: most callers ask for the same again."""
        if self._latest is None or self.backend.faults != self._faults:
            return None
        known, found = self._latest
        return found if known == key else None

    def find(
        self,
        key: Hashable,
        make: Callable[[], Plan],
        residents: Callable[[], Mapping[int, np.ndarray]],
    ) -> Interpreter:
        """What runs the plan of a key. `make` is asked for a plan that is not known yet."""
        if self.backend.faults != self._faults:
            self._ready.clear()
        ready = self._ready.get(key)
        if ready is None:
            plan = self.plan(key, make)
            if plan.arena_bytes > self._arena.nbytes:
                self._ready.clear()  # they hold on to the smaller arena
                self._arena = aligned.memory(plan.arena_bytes)
            ready = self._ready[key] = self.backend.bind(plan, residents(), self._arena)
            self._faults = self.backend.faults
        self._plans.move_to_end(key)
        self._latest = key, ready
        return ready

    def ready(self) -> list[Interpreter]:
        """Everything that is bound and could run now."""
        return list(self._ready.values())

    def plan(self, key: Hashable, make: Callable[[], Plan]) -> Plan:
        """The plan for a key."""
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = make()
            if len(self._plans) > self._capacity:
                oldest, _ = self._plans.popitem(last=False)
                self._ready.pop(oldest, None)
        return plan

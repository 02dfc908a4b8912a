"""Plans that take turns in one arena."""

import numpy as np

from engine.compile.backend import Backend
from engine.compile.plan import Plan, make_plan
from engine.compile.runners import Runners
from engine.ir.trace import trace
from tests.engine.ir import programs as p


def plan(size: int) -> Plan:
    return make_plan(trace(lambda x: x.softmax(0).softmax(0), *p.types([(size,)])))


def run(runners: Runners, size: int, made: list[int]) -> None:
    def make() -> Plan:
        made.append(size)
        return plan(size)

    x = np.arange(size, dtype="float32")
    runner = runners.find(size, make, dict)
    (found,) = runner.run([x])
    assert found.shape == (size,)
    assert found.sum() > 0.99


def test_plans_are_made_once_even_where_the_arena_grows() -> None:
    runners, made = Runners(), []
    for size in (10, 1000, 10, 20, 1000, 10):
        run(runners, size, made)
    assert made == [10, 1000, 20]


def test_all_runners_use_the_same_memory() -> None:
    runners = Runners()
    for size in (10, 1000, 10):  # the first one moves, once there is a larger arena
        runners.find(size, lambda size=size: plan(size), dict)
    large, small = (runners.find(n, lambda n=n: plan(n), dict) for n in (1000, 10))
    assert np.shares_memory(large._memory[0], small._memory[0])


def test_the_plan_unused_for_longest_goes_first() -> None:
    runners, made = Runners(capacity=2), []
    for size in (1, 2, 1, 3, 1, 2):
        run(runners, size, made)
    assert made == [1, 2, 3, 2]


def test_cleared_runners_make_their_plans_again() -> None:
    runners, made = Runners(), []
    run(runners, 5, made)
    runners.clear()
    run(runners, 5, made)
    assert made == [5, 5]


def test_the_latest_runner_is_known_by_its_key_alone() -> None:
    runners, made = Runners(), []
    assert runners.latest(5) is None
    run(runners, 5, made)
    found = runners.latest(5)
    assert found is runners.find(5, lambda: plan(5), dict)
    assert runners.latest(6) is None
    run(runners, 1000, made)  # the arena moves
    assert runners.latest(5) is None
    runners.clear()
    assert runners.latest(1000) is None


def test_no_runner_is_the_latest_after_a_fault() -> None:
    runners = Runners(backend=Backend("interpreter"))
    run(runners, 5, [])
    runners.backend.faults += 1
    assert runners.latest(5) is None

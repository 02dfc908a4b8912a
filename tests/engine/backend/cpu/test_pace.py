"""The choice between one thread and all."""

from itertools import pairwise

from engine.backend.cpu.pace import PERIOD, SOON, TRIAL, WARMING, Pace

#: Calls until a choice is made.
WHOLE = WARMING + 2 * TRIAL


class Machine:
    """Two ways that take the seconds it is told, by a clock of its own."""

    def __init__(self, alone: float, together: float) -> None:
        self.seconds = {"alone": alone, "together": together}
        self.now = 0.0
        self.calls: list[str] = []

    def way(self, name: str) -> int:
        self.calls.append(name)
        self.now += self.seconds[name]
        return 7

    def pace(self) -> Pace:
        return Pace(lambda: self.way("alone"), lambda: self.way("together"), clock=lambda: self.now)


def go(pace: Pace, calls: int) -> None:
    for _ in range(calls):
        pace()


def test_the_faster_way_is_kept() -> None:
    for alone, together, expected in ((1e-4, 3e-4, "alone"), (3e-4, 1e-4, "together")):
        machine = Machine(alone, together)
        pace = machine.pace()
        assert {pace() for _ in range(WHOLE + SOON)} == {7}
        tried = ["together"] * (WARMING + TRIAL) + ["alone"] * TRIAL
        assert machine.calls[:WHOLE] == tried
        assert set(machine.calls[WHOLE:]) == {expected}


def test_one_slow_call_decides_nothing() -> None:
    machine = Machine(2e-4, 1e-4)
    pace = machine.pace()
    machine.seconds["together"] = 1.0
    pace()
    machine.seconds["together"] = 1e-4
    go(pace, WHOLE)
    assert machine.calls[-1] == "together"


def test_threads_that_slept_have_time_to_warm_up() -> None:
    machine = Machine(2e-4, 3e-4)
    pace = machine.pace()
    go(pace, WARMING)
    machine.seconds["together"] = 1e-4
    go(pace, 2 * TRIAL + 1)
    assert machine.calls[-1] == "together"


def test_long_work_is_never_done_alone() -> None:
    machine = Machine(0.001, 0.01)
    pace = machine.pace()
    go(pace, 2 * PERIOD)
    assert set(machine.calls) == {"together"}


def test_another_trial_sees_that_things_have_changed() -> None:
    machine = Machine(3e-4, 1e-4)
    pace = machine.pace()
    go(pace, WHOLE)
    machine.seconds["together"] = 9e-4
    go(pace, PERIOD + WHOLE + 1)
    assert machine.calls[-1] == "alone"


def test_a_moment_of_company_is_soon_forgotten() -> None:
    machine = Machine(3e-4, 9e-4)
    pace = machine.pace()
    go(pace, WHOLE)
    assert pace() == 7
    assert machine.calls[-1] == "alone"
    machine.seconds["together"] = 1e-4
    go(pace, SOON + WHOLE)
    assert machine.calls[-1] == "together"


def test_work_that_is_sooner_done_alone_is_tried_less_and_less() -> None:
    machine = Machine(1e-4, 3e-4)
    pace = machine.pace()
    go(pace, 20 * PERIOD)
    together = [i for i, name in enumerate(machine.calls) if name == "together"]
    together = together[:: WARMING + TRIAL]
    between = [after - before - WHOLE for before, after in pairwise(together)]
    assert between[:3] == [SOON, 2 * SOON, 4 * SOON]
    assert set(between[6:]) == {PERIOD}

"""The learning rate of every step follows from the spec alone."""

import pytest
from pydantic import TypeAdapter

from spec.schedules import Schedule, SchedulePart


def rates(document: object, steps: list[int], total: int = 100, epoch: int = 10) -> list[float]:
    part: SchedulePart = TypeAdapter(Schedule).validate_python(document)
    schedule = part.make(0.1, total=total, epoch=epoch)
    return [schedule(step) for step in steps]


def test_constant() -> None:
    assert rates("constant", [0, 50, 99]) == [0.1, 0.1, 0.1]


def test_warm_up_rises_to_the_learning_rate() -> None:
    found = rates({"name": "constant", "warmup_steps": 4}, [0, 1, 2, 3, 4, 5])
    assert found == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1])


def test_cosine_ends_where_it_is_told() -> None:
    found = rates({"name": "cosine", "warmup_steps": 20, "final": 0.1}, [20, 60, 100])
    assert found == pytest.approx([0.1, 0.055, 0.01])


def test_linear() -> None:
    assert rates("linear", [0, 50, 100]) == pytest.approx([0.1, 0.05, 0.0])


def test_step_is_counted_in_epochs() -> None:
    found = rates({"name": "step", "every_epochs": 3, "factor": 0.5}, [0, 29, 30, 60])
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.025])

import math
import random
from datetime import UTC, datetime

import pytest

from store import metrics
from store.metrics import Point
from tests import factories


@pytest.fixture
def job_id(session):
    return factories.job(session).id


def write(session, job_id, values, name="train/loss"):
    metrics.write(session, job_id, [Point(name, step, 0, v) for step, v in enumerate(values)])


def steps(points):
    return [point.step for point in points]


def test_series_by_name(session, job_id):
    write(session, job_id, [3.0, 2.0, 1.0])
    write(session, job_id, [0.1], "test/accuracy")

    found = metrics.series(session, job_id)

    assert list(found) == ["test/accuracy", "train/loss"]
    assert [point.value for point in found["train/loss"]] == [3.0, 2.0, 1.0]
    assert found["train/loss"][0].at is not None
    assert list(metrics.series(session, job_id, names=["test/accuracy", "absent"])) == [
        "test/accuracy"
    ]


def test_a_value_keeps_all_its_bits(session, job_id):
    values = [0.1, 1e-308, 5e-324, 1.7976931348623157e308]
    write(session, job_id, values)

    found = [point.value for point in metrics.series(session, job_id)["train/loss"]]

    assert [value.hex() for value in found] == [value.hex() for value in values]


def test_a_series_of_one_job_is_not_that_of_another(session, job_id):
    write(session, factories.job(session).id, [1.0])

    assert metrics.series(session, job_id) == {}
    assert metrics.latest(session, job_id) == {}


def test_a_point_written_twice_is_one_point(session, job_id):
    metrics.write(session, job_id, [Point("a", 1, 0, 1.0), Point("a", 1, 0, 2.0)])
    metrics.write(session, job_id, [Point("a", 1, 0, 3.0)])

    assert [point.value for point in metrics.series(session, job_id)["a"]] == [3.0]


def test_a_point_may_bring_its_time(session, job_id):
    moment = datetime(2026, 5, 4, 3, 2, 1, 500_000, tzinfo=UTC)
    metrics.write(session, job_id, [Point("a", 1, 0, 1.0), Point("a", 2, 0, 1.0, moment)])

    first, second = metrics.series(session, job_id)["a"]

    assert second.at == moment
    assert first.at > moment


def test_latest(session, job_id):
    write(session, job_id, [3.0, 2.0, math.nan])
    write(session, job_id, [0.5], "test/accuracy")

    found = metrics.latest(session, job_id)

    assert found["test/accuracy"].value == 0.5
    assert found["train/loss"].step == 2
    assert math.isnan(found["train/loss"].value)


@pytest.mark.parametrize("max_points", [5, 50, 99])
def test_a_long_series_is_thinned(session, job_id, max_points):
    chance = random.Random(1)
    values = [chance.random() for _ in range(2000)]
    values[777], values[1200] = 1000.0, -1000.0
    write(session, job_id, values)

    points = metrics.series(session, job_id, max_points=max_points)["train/loss"]

    assert len(points) <= max_points
    assert len(points) > max_points // 3
    assert steps(points) == sorted(set(steps(points)))
    assert {0, 777, 1200, 1999} <= set(steps(points))
    assert all(point.value == values[point.step] for point in points)


def test_thinning_keeps_what_is_not_finite(session, job_id):
    values = [math.sin(step) for step in range(1000)]
    values[333], values[700], values[701] = math.nan, math.inf, -math.inf
    write(session, job_id, values)

    points = metrics.series(session, job_id, max_points=41)["train/loss"]

    assert {333, 700} <= set(steps(points))
    assert math.isnan(next(point.value for point in points if point.step == 333))


def test_a_short_series_is_not_thinned(session, job_id):
    write(session, job_id, [1.0] * 100)

    assert len(metrics.series(session, job_id, max_points=100)["train/loss"]) == 100


def test_drop_after(session, job_id):
    write(session, job_id, [1.0] * 10)
    write(session, job_id, [1.0] * 10, "other")

    assert metrics.drop_after(session, job_id, 6) == 6

    assert steps(metrics.series(session, job_id)["other"]) == [*range(7)]


def test_many_points_at_once(session, job_id):
    write(session, job_id, [0.5] * 5000)

    assert len(metrics.series(session, job_id, max_points=10_000)["train/loss"]) == 5000

"""Metrics: series of values by step, one value a name and step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    column,
    delete,
    func,
    select,
    union_all,
    values,
)
from sqlalchemy.orm import Session

from store.base import insert, nonfinite, rows_of
from store.tables import Metric

COLUMNS = (Metric.name, Metric.step, Metric.epoch, Metric.value, Metric.nonfinite, Metric.at)


@dataclass(frozen=True)
class Point:
    """One value; it may be NaN or infinite. `at` is filled in by the database where it is None."""

    name: str
    step: int
    epoch: int
    value: float
    at: datetime | None = None


def write(session: Session, job_id: str, points: Iterable[Point]) -> None:
    """Add points, or put them in the place of those of the same name and step."""
    rows = {(point.name, point.step): _row(job_id, point) for point in points}
    statement = insert(session, rows_of(Metric))
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["job_id", "name", "step"],
        set_={"epoch": new.epoch, "value": new.value, "nonfinite": new.nonfinite, "at": new.at},
    )
    for timed in (False, True):
        if some := [row for row in rows.values() if ("at" in row) is timed]:
            session.execute(statement, some)


def series(
    session: Session,
    job_id: str,
    *,
    names: Iterable[str] | None = None,
    max_points: int = 1000,
) -> dict[str, list[Point]]:
    """The job's series by name, each in order of step.

    A series of more than `max_points` is thinned: in each of equally long stretches the lowest,
    highest and last value stay, and the first that is not finite, so that no spike is lost; and so
    does the very first point.
    """
    wanted = _names(session, job_id) if names is None else sorted(set(names))
    found: dict[str, list[Point]] = {}
    for name in wanted:
        own = (Metric.job_id == job_id, Metric.name == name)
        query = select(*COLUMNS).where(*own).order_by(Metric.step)
        rows = session.execute(query.limit(max_points + 1)).all()
        if len(rows) > max_points:
            steps = _kept_steps(session, own, max(1, (max_points - 1) // 4))
            rows = session.execute(query.where(Metric.step.in_(steps))).all()
        if rows:
            found[name] = [_point(row) for row in rows]
    return found


def latest(session: Session, job_id: str) -> dict[str, Point]:
    """The newest point of each of the job's series."""
    found = {}
    for name in _names(session, job_id):
        query = select(*COLUMNS).where(Metric.job_id == job_id, Metric.name == name)
        row = session.execute(query.order_by(Metric.step.desc()).limit(1)).one()
        found[name] = _point(row)
    return found


def drop_after(session: Session, job_id: str, step: int) -> int:
    """Forget what came after a step; returns how many points that were."""
    gone = delete(Metric).where(Metric.job_id == job_id, Metric.step > step)
    options = {"synchronize_session": False}
    return len(session.execute(gone.returning(Metric.step), execution_options=options).all())


def _names(session: Session, job_id: str) -> list[str]:
    """The names of the job's series: a hop through the index for each, not a look at every row."""
    first = select(func.min(Metric.name).label("name")).where(Metric.job_id == job_id)
    names = first.cte("names", recursive=True)
    following = select(func.min(Metric.name)).where(
        Metric.job_id == job_id, Metric.name > names.c.name
    )
    names = names.union_all(
        select(following.correlate(names).scalar_subquery()).where(names.c.name.is_not(None))
    )
    return list(session.scalars(select(names.c.name).where(names.c.name.is_not(None))))


def _kept_steps(session: Session, own: tuple[ColumnElement[bool], ...], stretches: int) -> set[int]:
    """The steps that thinning leaves, found by the database, which alone sees all points."""
    first, last = session.execute(
        select(func.min(Metric.step), func.max(Metric.step)).where(*own)
    ).one()
    span = last - first + 1
    edges = [first + span * index // stretches for index in range(stretches + 1)]
    bounds = (
        values(column("low", BigInteger), column("high", BigInteger), name="stretches")
        .data([(low, high - 1) for low, high in pairwise(edges)])
        .cte()
    )
    inside = (*own, Metric.step.between(bounds.c.low, bounds.c.high))
    finite = Metric.nonfinite.is_(None)
    kept = (
        select(Metric.step).where(*inside, finite).order_by(Metric.value, Metric.step),
        select(Metric.step).where(*inside, finite).order_by(Metric.value.desc(), Metric.step),
        select(Metric.step).where(*inside, ~finite).order_by(Metric.step),
        select(Metric.step).where(*inside).order_by(Metric.step.desc()),
    )
    each = [select(one.limit(1).correlate(bounds).scalar_subquery().label("step")) for one in kept]
    found = session.scalars(union_all(*(one.select_from(bounds) for one in each)))
    return {first, *(step for step in found if step is not None)}


def _row(job_id: str, point: Point) -> dict[str, Any]:
    finite = math.isfinite(point.value)
    row = {
        "job_id": job_id,
        "name": point.name,
        "step": point.step,
        "epoch": point.epoch,
        "value": float(point.value) if finite else None,
        "nonfinite": nonfinite(point.value),
    }
    return row if point.at is None else row | {"at": point.at}


def _point(row: Row[*tuple[Any, ...]]) -> Point:
    value = float(row.nonfinite) if row.value is None else row.value
    return Point(row.name, row.step, row.epoch, value, row.at)

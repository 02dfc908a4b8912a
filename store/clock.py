"""Time by the database's clock, so that machines with other clocks agree on leases."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Float, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.expression import literal
from sqlalchemy.sql.functions import FunctionElement

# Six digits after the second, like every other time in SQLite: text sorts as time only so.
SQLITE_FORMAT = "'%Y-%m-%d %H:%M:%f000'"


class Moment(TypeDecorator[datetime]):
    """A time in UTC, aware in Python; on SQLite text of fixed width, so that it sorts as time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class later(FunctionElement[Any]):
    """The time a number of seconds from now; a negative number is the past."""

    type = Moment()
    inherit_cache = True
    name = "later"

    def __init__(self, seconds: float | ColumnElement[Any]) -> None:
        bound = seconds if isinstance(seconds, ColumnElement) else literal(float(seconds), Float())
        super().__init__(bound)


class now(FunctionElement[Any]):
    """The time now: not that of the transaction's start."""

    type = Moment()
    inherit_cache = True
    name = "now"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **kwargs: Any) -> str:
    return f"strftime({SQLITE_FORMAT}, 'now')"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: Any, **kwargs: Any) -> str:
    return "clock_timestamp()"


@compiles(later, "sqlite")
def _later_sqlite(element: later, compiler: Any, **kwargs: Any) -> str:
    seconds = compiler.process(element.clauses, **kwargs)
    return f"strftime({SQLITE_FORMAT}, 'now', printf('%+.3f seconds', {seconds}))"


@compiles(later, "postgresql")
def _later_postgresql(element: later, compiler: Any, **kwargs: Any) -> str:
    seconds = compiler.process(element.clauses, **kwargs)
    return f"clock_timestamp() + make_interval(secs => {seconds})"

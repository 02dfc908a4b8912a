"""What every table shares: constraint names, and columns that mean the same on both databases."""

import json
import math
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Dialect, MetaData, String, Table, Text, TypeDecorator
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from store.clock import Moment, now

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Json(TypeDecorator[Any]):
    """JSON as text: keys keep their order, and numbers that are not finite become objects."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else dump(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {
        datetime: Moment,
        dict[str, Any]: Json,
        list[str]: Json,
        list[dict[str, Any]]: Json,
    }


class Record(Base):
    """A row with a name of its own (`core.ids`) and the time it was made."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=now())


def dump(value: Any) -> str:
    """JSON text without NaN: `{"value": null, "nonfinite": "nan"}` stands for it."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(finite(value), allow_nan=False, separators=(",", ":"))


def finite(value: Any) -> Any:
    """The same value with every number that is not finite turned into an object that says so."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"value": None, "nonfinite": nonfinite(value)}
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def nonfinite(value: float) -> str | None:
    """`"nan"`, `"inf"` or `"-inf"`; None for a number."""
    return None if math.isfinite(value) else str(float(value))


def rows_of(table: type[Base]) -> Table:
    """A table for statements on many rows: without its class they take half as long."""
    return cast(Table, table.__table__)


def insert(session: Session, table: type[Base] | Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)

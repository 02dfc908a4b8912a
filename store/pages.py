"""Long lists, a page at a time: a cursor says after which row the next page begins."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.errors import BadRequest

MAX_LIMIT = 500

Row = TypeVar("Row")
Key = InstrumentedAttribute[Any]


@dataclass(frozen=True)
class Page(Generic[Row]):
    data: list[Row]
    has_more: bool
    next_cursor: str | None


def page(
    session: Session,
    query: Select[Row],
    *,
    keys: Sequence[Key],
    cursor: str | None,
    limit: int,
    scope: str = "",
) -> Page[Row]:
    """Newest first by `keys`, the last of which must be unique.

    `scope` names the list and its filters: a cursor of another list is refused with BadRequest.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    if cursor is not None:
        values = _decode(cursor, keys, scope)
        bounds = [literal(value, key.type) for key, value in zip(keys, values, strict=True)]
        query = query.where(tuple_(*keys) < tuple_(*bounds))
    query = query.order_by(*(key.desc() for key in keys)).limit(limit + 1)
    rows = list(session.scalars(query))
    if len(rows) <= limit:
        return Page(rows, has_more=False, next_cursor=None)
    last = rows[limit - 1]
    return Page(
        rows[:limit],
        has_more=True,
        next_cursor=_encode([getattr(last, key.key) for key in keys], scope),
    )


def _encode(values: list[Any], scope: str) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    text = json.dumps([_mark(scope), *plain], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, keys: Sequence[Key], scope: str) -> list[Any]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        mark, *plain = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        values = [_value(key, one) for key, one in zip(keys, plain, strict=True)]
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise BadRequest("the cursor is not one that this service gave") from None
    if mark != _mark(scope):
        raise BadRequest("the cursor belongs to another list: ask for its first page instead")
    return values


def _value(key: Key, plain: Any) -> Any:
    kind = key.type.python_type
    if issubclass(kind, datetime):
        moment = datetime.fromisoformat(plain)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment
    if type(plain) is not kind or (isinstance(plain, str) and "\0" in plain):
        raise ValueError(f"not a {kind.__name__}")
    return plain


def _mark(scope: str) -> str:
    return hashlib.sha256(scope.encode()).hexdigest()[:12]

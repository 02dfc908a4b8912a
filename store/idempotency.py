"""Answers kept so that a request sent twice is done once.

`begin`, the work, and `save` belong in one transaction: whatever undoes the work forgets the key.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.errors import BadRequest, IdempotencyConflict, Unavailable
from store.base import insert
from store.clock import later
from store.tables import IdempotencyKey

MAX_KEY = 255
KEEP_SECONDS = 86_400


@dataclass(frozen=True)
class Response:
    status: int
    body: str
    headers: dict[str, Any] = field(default_factory=dict)


def begin(
    session: Session, *, project_id: str, route: str, key: str, request_hash: str
) -> Response | None:
    """The answer given the first time, or None where this is the first time.

    Raises IdempotencyConflict where the key came with another request, or where the first request
    is still at work.
    """
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise BadRequest(f"an Idempotency-Key has 1 to {MAX_KEY} printable characters")
    names = {"project_id": project_id, "route": route, "key": key}
    claim = insert(session, IdempotencyKey).values(**names, request_hash=request_hash, headers={})
    try:
        # Where a concurrent request holds the key, this waits for it to commit or roll back.
        mine = session.scalar(claim.on_conflict_do_nothing().returning(IdempotencyKey.key))
    except Unavailable as error:
        raise IdempotencyConflict("a request with this Idempotency-Key is still at work") from error
    if mine is not None:
        return None
    row = session.scalars(
        select(IdempotencyKey).filter_by(**names).execution_options(populate_existing=True)
    ).one()
    if row.request_hash != request_hash:
        raise IdempotencyConflict(
            "this Idempotency-Key was used for another request: use a new key for a new request"
        )
    if row.status is None or row.body is None:
        raise IdempotencyConflict("a request with this Idempotency-Key is still at work")
    return Response(row.status, row.body, row.headers)


def save(session: Session, *, project_id: str, route: str, key: str, response: Response) -> None:
    """Keep the answer for whoever sends the same request again."""
    session.execute(
        update(IdempotencyKey)
        .filter_by(project_id=project_id, route=route, key=key)
        .values(status=response.status, body=response.body, headers=response.headers)
        .execution_options(synchronize_session=False)
    )


def prune(session: Session, *, older_than_seconds: float = KEEP_SECONDS) -> int:
    """Forget old answers; returns how many."""
    old = delete(IdempotencyKey).where(IdempotencyKey.created_at < later(-older_than_seconds))
    return len(
        session.scalars(
            old.returning(IdempotencyKey.key), execution_options={"synchronize_session": False}
        ).all()
    )

"""API keys: shown once, kept as an HMAC, scoped to a project.

A token reads `gw_<12 that name it>_<43 of secret>_<8 of check>`. The check lets a mistyped token be
refused without a look into the database; the name finds the row; the HMAC proves the secret.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from core.errors import Invalid, NotFound, Problem, Unauthorized
from core.ids import base32, new_id
from store.clock import later, now
from store.tables import ApiKey

Scope = Literal["read", "write", "admin"]

IMPLIED = {"admin": {"read", "write", "admin"}, "write": {"read", "write"}, "read": {"read"}}
TOKEN = re.compile(r"gw_([0-9a-z]{12})_([A-Za-z0-9_-]{43})_([0-9a-f]{8})", re.ASCII)
TOUCH_SECONDS = 60


def create(
    session: Session,
    *,
    project_id: str,
    name: str,
    scopes: Iterable[str],
    secret: str,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """The key and its token, which cannot be had a second time. `secret` is the settings'."""
    wanted = sorted(set(scopes))
    _check_scopes(wanted)
    public = base32(secrets.randbits(60), 12)
    token = _token(public, secrets.token_urlsafe(32))
    key = ApiKey(
        id=new_id("key"),
        project_id=project_id,
        name=name,
        public=public,
        digest=_digest(token, secret),
        scopes=wanted,
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, token


def authenticate(session: Session, token: str, *, secret: str, touch: bool = True) -> ApiKey:
    """The key of a token; Unauthorized for any that is not good, without saying why.

    Writes `last_used_at`, at most once a minute, unless `touch` is false (a session that reads).
    """
    match = TOKEN.fullmatch(token)
    if match is None or _token(match[1], match[2]) != token:
        raise Unauthorized
    good = (
        select(ApiKey)
        .where(ApiKey.public == match[1], ApiKey.revoked_at.is_(None))
        .where(or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now()))
    )
    key = session.scalars(good).one_or_none()
    # Compare even where there is no key, so that the time taken does not tell.
    digest = key.digest if key else "0" * 64
    if not hmac.compare_digest(digest, _digest(token, secret)) or key is None:
        raise Unauthorized
    if touch:
        mark_used(session, key.id)
    return key


def mark_used(session: Session, key_id: str) -> None:
    """Note that the key was used, unless that was noted less than a minute ago."""
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < later(-TOUCH_SECONDS))
    if session.scalar(select(ApiKey.id).where(ApiKey.id == key_id, stale)) is not None:
        session.execute(
            update(ApiKey)
            .where(ApiKey.id == key_id, stale)
            .values(last_used_at=now())
            .execution_options(synchronize_session=False)
        )


def allows(key: ApiKey, scope: Scope) -> bool:
    """Whether the key may do it: `admin` may everything, and who may write may read."""
    return any(scope in IMPLIED[own] for own in key.scopes)


def list_(session: Session, *, project_id: str) -> list[ApiKey]:
    """The project's keys, revoked ones too, newest first."""
    query = select(ApiKey).where(ApiKey.project_id == project_id)
    return list(session.scalars(query.order_by(ApiKey.created_at.desc(), ApiKey.id.desc())))


def revoke(session: Session, *, project_id: str, key_id: str) -> ApiKey:
    """End the key; a second time changes nothing."""
    query = select(ApiKey).where(ApiKey.project_id == project_id, ApiKey.id == key_id)
    key = session.scalars(query.with_for_update()).one_or_none()
    if key is None:
        raise NotFound("key", key_id)
    if key.revoked_at is None:
        key.revoked_at = now()
        session.flush()
        session.refresh(key)
    return key


def _token(public: str, random: str) -> str:
    body = f"gw_{public}_{random}"
    return f"{body}_{zlib.crc32(body.encode()):08x}"


def _digest(token: str, secret: str) -> str:
    return hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()


def _check_scopes(scopes: list[str]) -> None:
    unknown = [scope for scope in scopes if scope not in IMPLIED]
    if unknown or not scopes:
        raise Invalid(
            [
                Problem(
                    pointer="/scopes",
                    code="unknown_scope" if unknown else "missing",
                    detail="a key needs one or more of the known scopes",
                    expected=sorted(IMPLIED),
                    got=scopes,
                    hint='["read", "write"] suits a program that submits jobs',
                )
            ]
        )

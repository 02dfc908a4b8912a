import base64
import json

import pytest
from hypothesis import given, strategies as st
from sqlalchemy import select

from core.errors import BadRequest
from store.clock import now
from store.pages import page
from store.tables import Project
from tests import factories

KEYS = (Project.created_at, Project.id)


def get(session, cursor=None, limit=2, scope="list"):
    return page(session, select(Project), keys=KEYS, cursor=cursor, limit=limit, scope=scope)


@pytest.fixture
def rows(session):
    made = [factories.project(session) for _ in range(7)]
    for index, row in enumerate(made):
        if index % 3:
            row.created_at = made[0].created_at  # so that ids must decide
    session.flush()
    return made


def test_every_row_comes_once_and_newest_first(session, rows):
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        got = get(session, cursor, limit=3)
        seen += got.data
        cursor, pages = got.next_cursor, pages + 1
        assert got.has_more == (cursor is not None)

    assert pages == 3
    assert seen == sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)


def test_a_row_added_meanwhile_moves_nothing(session, rows):
    first = get(session)
    newest = factories.project(session)
    newest.created_at = now()
    session.flush()

    rest = get(session, first.next_cursor, limit=10)

    assert len(first.data + rest.data) == 7
    assert newest not in rest.data


def test_a_page_as_long_as_the_list_is_the_last(session, rows):
    assert get(session, limit=7).next_cursor is None


@pytest.mark.parametrize("limit", [-5, 0, 1])
def test_a_page_has_at_least_one_row(session, rows, limit):
    assert len(get(session, limit=limit).data) == 1


def test_a_cursor_of_another_list(session, rows):
    cursor = get(session).next_cursor

    with pytest.raises(BadRequest, match="belongs to another list"):
        get(session, cursor, scope="other list")


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "é",
        "a" * 5000,
        encoded({}),
        encoded([]),
        encoded(["x", "2026-01-01T00:00:00+00:00"]),
        encoded(["x", "2026-01-01T00:00:00", "prj_1"]),
        encoded(["x", 5, "prj_1"]),
        encoded(["x", "2026-01-01T00:00:00+00:00", 7]),
        encoded(["x", "2026-01-01T00:00:00+00:00", "\x00"]),
        encoded(["x", "2026-01-01T00:00:00+00:00", None]),
        base64.urlsafe_b64encode(b"[" * 60_000).decode(),
    ],
)
def test_a_cursor_that_was_made_up(session, cursor):
    with pytest.raises(BadRequest, match="not one that this service gave"):
        get(session, cursor)


@given(cursor=st.text(max_size=60))
def test_no_cursor_breaks_the_list(cursor):
    with pytest.raises(BadRequest):
        page(None, select(Project), keys=KEYS, cursor=cursor, limit=1, scope="list")

import re
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import Invalid, NotFound, Unauthorized
from store import keys
from store.clock import later
from store.tables import ApiKey
from tests import factories
from tests.factories import SECRET

SHAPE = re.compile(r"gw_[0-9a-z]{12}_[A-Za-z0-9_-]{43}_[0-9a-f]{8}")


@pytest.fixture
def made(session):
    return factories.key(session)


def test_create(session):
    owner = factories.project(session).id
    key, token = factories.key(
        session, project_id=owner, name="laptop", scopes=["write", "read", "read"]
    )

    assert SHAPE.fullmatch(token)
    assert (key.name, key.scopes, key.project_id) == ("laptop", ["read", "write"], owner)
    secret = token.split("_", 2)[2][:43]
    assert secret not in "".join(str(getattr(key, c.name)) for c in ApiKey.__table__.columns)


def test_tokens_differ(session):
    assert len({factories.key(session)[1] for _ in range(10)}) == 10


def test_authenticate(session, made):
    key, token = made

    assert keys.authenticate(session, token, secret=SECRET).id == key.id


def swap(token, place):
    other = "0" if token[place] != "0" else "1"
    return token[:place] + other + token[place + 1 :]


@pytest.mark.parametrize("place", [3, 10, 20, 40, 57, 60, 67])
def test_a_token_with_one_letter_changed(session, made, place):
    with pytest.raises(Unauthorized):
        keys.authenticate(session, swap(made[1], place), secret=SECRET)


@pytest.mark.parametrize("place", [3, 20, 57])
def test_a_token_changed_with_a_check_that_fits(session, made, place):
    body = swap(made[1], place)
    forged = keys._token(body[3:15], body[16:59])

    with pytest.raises(Unauthorized):
        keys.authenticate(session, forged, secret=SECRET)


@pytest.mark.parametrize(
    "token", ["", "gw_", "Bearer x", "gw_\x00", "gw_" + "é" * 12 + "_" + "a" * 43 + "_00000000"]
)
def test_what_is_no_token(session, token):
    with pytest.raises(Unauthorized):
        keys.authenticate(session, token, secret=SECRET)


def test_a_token_with_more_behind_it(session, made):
    for more in ("\n", " ", "_", "0"):
        with pytest.raises(Unauthorized):
            keys.authenticate(session, made[1] + more, secret=SECRET)


def test_a_key_of_another_house(session, made):
    with pytest.raises(Unauthorized):
        keys.authenticate(session, made[1], secret="another secret")


def test_a_revoked_key(session, made):
    key, token = made

    revoked = keys.revoke(session, project_id=key.project_id, key_id=key.id)

    assert revoked.revoked_at is not None
    with pytest.raises(Unauthorized):
        keys.authenticate(session, token, secret=SECRET)
    when = revoked.revoked_at
    assert keys.revoke(session, project_id=key.project_id, key_id=key.id).revoked_at == when


def test_revoke_the_key_of_another_project(session, made):
    key, token = made

    with pytest.raises(NotFound):
        keys.revoke(session, project_id=factories.project(session).id, key_id=key.id)

    assert keys.authenticate(session, token, secret=SECRET)


def test_an_expired_key(session):
    past = datetime.now(UTC) - timedelta(seconds=5)
    _, token = factories.key(session, expires_at=past)

    with pytest.raises(Unauthorized):
        keys.authenticate(session, token, secret=SECRET)


def test_a_key_that_has_yet_to_expire(session):
    _, token = factories.key(session, expires_at=datetime.now(UTC) + timedelta(minutes=1))

    assert keys.authenticate(session, token, secret=SECRET)


def test_use_is_noted_once_a_minute(session, made):
    key, token = made
    keys.authenticate(session, token, secret=SECRET)
    session.refresh(key)
    first = key.last_used_at
    assert first is not None

    keys.authenticate(session, token, secret=SECRET)
    session.refresh(key)
    assert key.last_used_at == first

    key.last_used_at = later(-61)
    session.flush()
    keys.authenticate(session, token, secret=SECRET)
    session.refresh(key)
    assert key.last_used_at >= first


def test_authentication_need_not_write(session, made):
    key, token = made

    keys.authenticate(session, token, secret=SECRET, touch=False)

    session.refresh(key)
    assert key.last_used_at is None


@pytest.mark.parametrize("scopes", [[], ["read", "root"]])
def test_scopes_that_do_not_exist(session, scopes):
    with pytest.raises(Invalid) as caught:
        factories.key(session, scopes=scopes)

    problem = caught.value.problems[0]
    assert (problem.pointer, problem.expected) == ("/scopes", ["admin", "read", "write"])


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        (["read"], {"read"}),
        (["write"], {"read", "write"}),
        (["admin"], {"read", "write", "admin"}),
    ],
)
def test_what_a_scope_implies(session, scopes, may):
    key, _ = factories.key(session, scopes=scopes)

    assert {scope for scope in ("read", "write", "admin") if keys.allows(key, scope)} == may


def test_list(session):
    owner = factories.project(session).id
    first = factories.key(session, project_id=owner)[0].id
    second = factories.key(session, project_id=owner)[0].id
    factories.key(session)

    assert {key.id for key in keys.list_(session, project_id=owner)} == {first, second}

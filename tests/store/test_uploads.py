import pytest

from core.errors import NotFound
from store import uploads
from store.tables import Upload
from tests import factories


def test_create(session):
    upload = factories.upload(session, b"a,b\n", filename="t.csv", ttl_seconds=60)

    assert (upload.filename, upload.bytes) == ("t.csv", 4)
    assert 59 < (upload.expires_at - upload.created_at).total_seconds() < 61
    assert uploads.get(session, upload.project_id, upload.id) is upload


def test_get_the_upload_of_another_project(session):
    upload = factories.upload(session)

    with pytest.raises(NotFound):
        uploads.get(session, factories.project(session).id, upload.id)


def test_an_upload_expires(session):
    kept = factories.upload(session)
    gone = factories.upload(session, ttl_seconds=-1)

    with pytest.raises(NotFound):
        uploads.get(session, gone.project_id, gone.id)

    assert uploads.expire(session) == 1
    assert session.query(Upload).all() == [kept]

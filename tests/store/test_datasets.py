import threading

import pytest

from core.errors import Conflict, Invalid, NotFound
from core.states import TERMINAL, JobState
from store import blobs, datasets, jobs
from store.datasets import FileRef
from tests import factories


@pytest.fixture
def owner(session):
    return factories.project(session).id


@pytest.fixture
def digits(session, owner):
    return factories.dataset(session, project_id=owner, name="digits", description="8×8")


def test_create(session, owner, digits):
    found = datasets.get(session, owner, "digits")

    assert found is digits is datasets.get(session, owner, digits.id)
    assert (found.description, found.latest) == ("8×8", 0)


def test_a_name_is_given_once_in_a_project(session, owner, digits):
    with pytest.raises(Conflict, match="add a version to it"):
        factories.dataset(session, project_id=owner, name="digits")
    factories.dataset(session, name="digits")


@pytest.mark.parametrize(
    "name", ["", "a b", "a@2", "-a", "ds_1", "dsv_1", "a/b", "é", "a" * 101, "a\n", "\x00"]
)
def test_names_that_will_not_do(session, owner, name):
    with pytest.raises(Invalid) as caught:
        datasets.create(session, project_id=owner, name=name)

    assert caught.value.problems[0].pointer == "/name"
    assert caught.value.problems[0].got == name


def test_versions_are_numbered(session, digits):
    first = factories.dataset_version(session, b"one", of=digits, rows=1)
    second = factories.dataset_version(session, b"two", of=digits, rows=2)

    assert (first.number, second.number, digits.latest) == (1, 2, 2)
    assert [version.rows for version in datasets.versions(session, digits.id)] == [2, 1]


def test_add_version(session, digits):
    a, b = blobs.write(session, b"a"), blobs.write(session, b"bb")
    made = datasets.add_version(
        session,
        digits,
        files=[FileRef("b.csv", b.sha256, b.bytes), FileRef("a.csv", a.sha256, a.bytes)],
        format="csv",
        options={"delimiter": ";"},
        rows=3,
        schema=[{"name": "label", "type": "category"}],
        profile={"label": {"missing": 0, "mean": float("nan")}},
    )

    session.expire_all()
    found = datasets.load_version(session, made.id)
    assert (found.format, found.options, found.rows) == ("csv", {"delimiter": ";"}, 3)
    assert found.schema == [{"name": "label", "type": "category"}]
    assert found.profile["label"]["mean"] == {"value": None, "nonfinite": "nan"}
    files = [(file.name, file.bytes) for file in datasets.files(session, made.id)]
    assert files == [("b.csv", 2), ("a.csv", 1)]


def test_what_a_spec_may_name(session, owner, digits):
    first = factories.dataset_version(session, b"one", of=digits)
    second = factories.dataset_version(session, b"two", of=digits)

    for ref, wanted in {
        "digits": second,
        "digits@1": first,
        "digits@2": second,
        digits.id: second,
        f"{digits.id}@1": first,
        first.id: first,
    }.items():
        assert datasets.version(session, owner, ref).id == wanted.id


@pytest.mark.parametrize(
    "ref", ["letters", "digits@3", "digits@0", "digits@x", "digits@-1", "digits@9999999999999"]
)
def test_what_a_spec_may_not_name(session, owner, digits, ref):
    factories.dataset_version(session, of=digits)

    with pytest.raises(NotFound):
        datasets.version(session, owner, ref)


def test_a_dataset_without_versions(session, owner, digits):
    with pytest.raises(NotFound):
        datasets.version(session, owner, "digits")


def test_the_dataset_of_another_project(session, digits):
    version = factories.dataset_version(session, of=digits)
    other = factories.project(session).id

    for ref in ("digits", digits.id):
        with pytest.raises(NotFound):
            datasets.get(session, other, ref)
    for ref in ("digits", "digits@1", digits.id, version.id):
        with pytest.raises(NotFound):
            datasets.version(session, other, ref)


def test_newest_and_sources_in_one_query(session, owner, digits):
    letters = factories.dataset(session, project_id=owner, name="letters")
    empty = factories.dataset(session, project_id=owner, name="empty")
    old = factories.dataset_version(session, b"one", of=digits)
    new = factories.dataset_version(session, b"two", of=digits)
    only = factories.dataset_version(session, b"three", of=letters)

    assert datasets.newest(session, [digits, letters, empty]) == {digits.id: new, letters.id: only}
    assert datasets.sources(session, [old.id, only.id]) == {
        old.id: (digits, old),
        only.id: (letters, only),
    }


def test_delete(session, owner, digits):
    version = factories.dataset_version(session, of=digits)
    job = factories.job(session, project_id=owner, dataset_version_id=version.id)
    jobs.request_cancel(session, owner, job.id)

    datasets.delete_(session, owner, "digits")

    for ref in ("digits", digits.id, version.id):
        with pytest.raises(NotFound):
            datasets.version(session, owner, ref)
    assert datasets.page(session, owner).data == []
    assert datasets.files(session, version.id) == []
    assert datasets.sources(session, [version.id])[version.id][0].name == "digits"
    with pytest.raises(NotFound):
        factories.dataset_version(session, of=digits)


def test_the_name_of_a_deleted_dataset_is_free(session, owner, digits):
    datasets.delete_(session, owner, "digits")

    again = factories.dataset(session, project_id=owner, name="digits")

    assert datasets.get(session, owner, "digits").id == again.id != digits.id


@pytest.mark.parametrize("state", [state for state in JobState if state not in TERMINAL])
def test_delete_while_a_job_uses_it(session, owner, digits, state):
    version = factories.dataset_version(session, of=digits)
    job = factories.job(session, project_id=owner, dataset_version_id=version.id)
    job.state = state
    session.flush()

    with pytest.raises(Conflict, match=job.id):
        datasets.delete_(session, owner, digits.id)

    assert datasets.version(session, owner, "digits").id == version.id


def test_a_job_for_a_deleted_dataset(session, owner, digits):
    version = factories.dataset_version(session, of=digits)
    datasets.delete_(session, owner, "digits")

    with pytest.raises(NotFound, match=version.id):
        factories.job(session, project_id=owner, dataset_version_id=version.id)


def test_delete_waits_for_a_job_that_is_being_made(own_sessions):
    with own_sessions.begin() as session:
        digits = factories.dataset(session)
        version = factories.dataset_version(session, of=digits)
    refused = []

    def delete():
        try:
            with own_sessions.begin() as session:
                datasets.delete_(session, digits.project_id, digits.id)
        except Conflict as error:
            refused.append(error)

    with own_sessions.begin() as session:
        factories.job(session, project_id=digits.project_id, dataset_version_id=version.id)
        thread = threading.Thread(target=delete)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(30)

    assert len(refused) == 1


def test_page(session, owner):
    made = {factories.dataset(session, project_id=owner).id for _ in range(3)}
    factories.dataset(session)

    first = datasets.page(session, owner, limit=2)
    second = datasets.page(session, owner, limit=2, cursor=first.next_cursor)

    assert {dataset.id for dataset in first.data + second.data} == made

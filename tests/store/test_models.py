import pytest
from sqlalchemy.exc import IntegrityError

from core.errors import NotFound
from store import jobs, models
from tests import factories


def make(session, claim, **given):
    values = {"name": "digits", "manifest": {"inputs": ["image"]}, "metrics": {"accuracy": 0.9}}
    return models.create(session, claim, **values | given)


def test_create(session):
    claim = factories.claim(session)

    made = make(session, claim, metrics={"accuracy": float("nan")})

    found = models.get(session, claim.project_id, made.id)
    assert (found.name, found.job_id) == ("digits", claim.job_id)
    assert found.metrics == {"accuracy": {"value": None, "nonfinite": "nan"}}
    assert models.for_job(session, claim.job_id) is found
    assert jobs.load(session, claim.job_id).model_id == made.id


def test_a_job_has_one_model(session):
    claim = factories.claim(session)
    make(session, claim)

    with pytest.raises(IntegrityError):
        make(session, claim)


def test_a_job_without_a_model(session):
    assert models.for_job(session, factories.job(session).id) is None


def test_get_the_model_of_another_project(session):
    model = make(session, factories.claim(session))

    with pytest.raises(NotFound):
        models.get(session, factories.project(session).id, model.id)


def test_page(session):
    owner = factories.project(session).id
    made = [make(session, factories.claim(session, project_id=owner)).id for _ in range(3)]
    make(session, factories.claim(session))

    first = models.page(session, owner, limit=2)
    second = models.page(session, owner, limit=2, cursor=first.next_cursor)

    assert sorted(model.id for model in first.data + second.data) == sorted(made)

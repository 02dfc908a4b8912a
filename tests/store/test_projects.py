import pytest

from core.errors import Conflict, NotFound
from store import projects


def test_create_and_get(session):
    made = projects.create(session, name="vision")

    assert projects.get(session, made.id).name == "vision"
    assert projects.named(session, "vision").id == made.id


def test_a_name_is_given_once(session):
    projects.create(session, name="vision")

    with pytest.raises(Conflict, match="named vision already"):
        projects.create(session, name="vision")


def test_a_project_that_does_not_exist(session):
    with pytest.raises(NotFound):
        projects.get(session, "prj_none")
    with pytest.raises(NotFound):
        projects.named(session, "none")


def test_page(session):
    made = {projects.create(session, name=f"p{index}").id for index in range(3)}

    first = projects.page(session, limit=2)
    second = projects.page(session, limit=2, cursor=first.next_cursor)

    assert {project.id for project in first.data + second.data} == made

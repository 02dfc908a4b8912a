"""Projects: whose the rows are."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from core.ids import new_id
from store.base import insert
from store.pages import Page, page as pages
from store.tables import Project


def create(session: Session, *, name: str) -> Project:
    """Raises Conflict where the name is taken."""
    statement = insert(session, Project).values(id=new_id("prj"), name=name)
    project = session.scalars(
        statement.on_conflict_do_nothing(index_elements=["name"]).returning(Project)
    ).one_or_none()
    if project is None:
        raise Conflict(f"there is a project named {name} already")
    return project


def get(session: Session, project_id: str) -> Project:
    project = session.get(Project, project_id)
    if project is None:
        raise NotFound("project", project_id)
    return project


def named(session: Session, name: str) -> Project:
    project = session.scalars(select(Project).where(Project.name == name)).one_or_none()
    if project is None:
        raise NotFound("project", name)
    return project


def page(session: Session, *, cursor: str | None = None, limit: int = 50) -> Page[Project]:
    keys = (Project.created_at, Project.id)
    return pages(session, select(Project), keys=keys, cursor=cursor, limit=limit, scope="projects")

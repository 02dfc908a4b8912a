"""Projects: whose the rows are. A project sees itself alone."""

from fastapi import APIRouter, Response

from api.bodies import StrictRoute
from api.deps import Admin, ReadSession, ServiceDep, WriteSession
from api.idempotency import OnceDep
from api.openapi import GUARDED, problems
from api.render import key_created
from api.schemas.access import ProjectCreate, ProjectCreated, ProjectRead
from api.schemas.base import Page
from store import keys, projects

router = APIRouter(prefix="/v1/projects", tags=["projects"], route_class=StrictRoute)


@router.post(
    "",
    status_code=201,
    response_model=ProjectCreated,
    responses=problems(*GUARDED, 409, 413, 415),
    operation_id="create_project",
)
def create_project(
    body: ProjectCreate, session: WriteSession, service: ServiceDep, caller: Admin, once: OnceDep
) -> Response:
    """Make another project, and its first key: from then on only its own keys see it."""

    def work() -> ProjectCreated:
        project = projects.create(session, name=body.name)
        key, token = keys.create(
            session,
            project_id=project.id,
            secret=service.settings.secret.get_secret_value(),
            name="first",
            scopes=["admin", "read", "write"],
        )
        read = ProjectRead.model_validate(project).model_dump()
        return ProjectCreated(**read, key=key_created(key, token))

    return once.run(session, work, status=201, conceal=_without_token)


@router.get(
    "", response_model=Page[ProjectRead], responses=problems(*GUARDED), operation_id="list_projects"
)
def list_projects(session: ReadSession, caller: Admin) -> Page[ProjectRead]:
    """The project of the key: nobody sees another's."""
    own = ProjectRead.model_validate(projects.get(session, caller.project_id))
    return Page(data=[own], has_more=False, next_cursor=None)


def _without_token(made: ProjectCreated) -> ProjectCreated:
    return made.model_copy(update={"key": made.key.without_token()})

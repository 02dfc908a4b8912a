"""API keys of a project. A token is shown when its key is made, and never again."""

from fastapi import APIRouter, Response

from api.bodies import StrictRoute
from api.deps import Admin, ReadSession, ServiceDep, WriteSession
from api.idempotency import OnceDep
from api.openapi import GUARDED, created, problems
from api.render import key_created
from api.schemas.access import KeyCreate, KeyCreated, KeyRead
from api.schemas.base import KeyId, Page
from store import keys

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=StrictRoute)


@router.post(
    "",
    status_code=201,
    response_model=KeyCreated,
    responses={
        **problems(*GUARDED, 409, 413, 415),
        201: created("The key and its token", ("revoke_key",), key_id="$response.body#/id"),
    },
    operation_id="create_key",
)
def create_key(
    body: KeyCreate, session: WriteSession, service: ServiceDep, caller: Admin, once: OnceDep
) -> Response:
    """Make a key. Its token is in this answer and nowhere else."""

    def work() -> KeyCreated:
        key, token = keys.create(
            session,
            project_id=caller.project_id,
            name=body.name,
            scopes=body.scopes,
            expires_at=body.expires_at,
            secret=service.settings.secret.get_secret_value(),
        )
        return key_created(key, token)

    return once.run(session, work, status=201, conceal=KeyCreated.without_token)


@router.get(
    "", response_model=Page[KeyRead], responses=problems(*GUARDED), operation_id="list_keys"
)
def list_keys(session: ReadSession, caller: Admin) -> Page[KeyRead]:
    """The project's keys, newest first, revoked ones too; never their tokens."""
    data = [
        KeyRead.model_validate(key) for key in keys.list_(session, project_id=caller.project_id)
    ]
    return Page(data=data, has_more=False, next_cursor=None)


@router.delete(
    "/{key_id}",
    status_code=204,
    responses=problems(*GUARDED, 404),
    operation_id="revoke_key",
)
def revoke_key(key_id: KeyId, service: ServiceDep, caller: Admin) -> None:
    """Make a key worthless, here at once and in other processes within half a second."""
    with service.sessions.begin() as session:
        keys.revoke(session, project_id=caller.project_id, key_id=key_id)
    service.callers.forget(key_id)

"""Prepare the database: `python -m store` brings the schema up to date.

On an empty database it also makes the project `default` with a first key. It prints one JSON
object: `{"project": id, "token": "gw_…"}`; the token is null when there was a project already.
"""

import json
import sys

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import AppError, NotFound
from core.settings import settings
from store import keys, projects
from store.session import connect, migrate, sessions

_LOCK = 727403  # any number of `setup` processes may start together; one makes the project


def main() -> None:
    known = settings()
    try:
        migrate(known.database_url)
        database = connect(known.database_url)
        with sessions(database).begin() as session:
            made = setup(session, secret=known.secret.get_secret_value())
        database.dispose()
    except AppError as error:
        sys.exit(f"{error}")
    sys.stdout.write(json.dumps(made) + "\n")


def setup(session: Session, *, secret: str) -> dict[str, str | None]:
    """Make the first project and key where there is none; a second call changes nothing."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    try:
        return {"project": projects.named(session, "default").id, "token": None}
    except NotFound:
        project = projects.create(session, name="default")
    scopes = ["admin", "read", "write"]
    _, token = keys.create(
        session, project_id=project.id, name="first", scopes=scopes, secret=secret
    )
    return {"project": project.id, "token": token}


if __name__ == "__main__":
    main()

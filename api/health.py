"""The state of what the API stands on, each asked with little patience."""

import socket
from functools import cache
from urllib.parse import urlsplit

from sqlalchemy import Engine

from core.errors import AppError
from core.queue import broker_url
from core.settings import Settings
from store.session import MIGRATIONS

PATIENCE_SECONDS = 0.5
PORTS = {"redis": 6379, "rediss": 6379, "valkey": 6379, "amqp": 5672, "pyamqp": 5672, "amqps": 5671}


def database_state(database: Engine) -> str:
    """`ok`, `unreachable`, or `behind` where migrations are missing."""
    from alembic.migration import MigrationContext  # slow to import, and not needed to start

    try:
        with database.execution_options(begin="BEGIN").connect() as connection:
            context = MigrationContext.configure(connection)
            return "ok" if set(context.get_current_heads()) == _heads() else "behind"
    except AppError:
        return "unreachable"


@cache
def _heads() -> frozenset[str]:
    from alembic.script import ScriptDirectory

    return frozenset(ScriptDirectory(str(MIGRATIONS)).get_heads())


def broker_state(settings: Settings) -> str:
    """`ok` where something listens; a broker in a file or in memory is always there."""
    url = urlsplit(broker_url(settings))
    try:
        if url.scheme.endswith("+socket"):
            _knock(socket.AF_UNIX, url.path)
        elif url.scheme in PORTS:
            _knock(socket.AF_INET, (url.hostname or "127.0.0.1", url.port or PORTS[url.scheme]))
    except OSError:
        return "unreachable"
    return "ok"


def _knock(family: socket.AddressFamily, address: str | tuple[str, int]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as knock:
        knock.settimeout(PATIENCE_SECONDS)
        knock.connect(address)

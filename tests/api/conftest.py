"""The API in this process, on a database of the test's own, and callers of two projects."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from api.app import create_app
from api.limits import Bucket
from core.settings import Settings
from spec.build import build
from spec.data.prepare import prepare
from spec.data.sources import DataFile
from spec.jobs import parse
from spec.manifest import pack
from store import artifacts, blobs, keys, leases, models
from tests import factories
from tests.conftest import Databases

TABLE = b"age,city,label\n" + b"".join(
    b"%d,%s,%s\n" % (20 + n % 40, [b"Bern", b"Oslo", b"Rome"][n % 3], b"yes" if n % 2 else b"no")
    for n in range(60)
)
SPEC: dict[str, Any] = {
    "name": "people",
    "data": {
        "dataset": "people",
        "inputs": {
            "age": {"type": "number", "column": "age"},
            "city": {"type": "category", "column": "city"},
        },
        "target": {"type": "category", "column": "label"},
    },
    "model": {"blueprint": {"name": "mlp", "hidden": [8]}},
    "train": {"epochs": 2, "batch_size": 16},
}


PREDICTIONS = bytes(range(256)) * 5_000  # more than one chunk of storage


@dataclass(frozen=True)
class Caller:
    """A project with a key for every scope."""

    project_id: str
    tokens: dict[str, str] = field(repr=False)

    def __getitem__(self, scope: str) -> dict[str, str]:
        """The headers of a request with a key of that scope."""
        return {"Authorization": f"Bearer {self.tokens[scope]}"}


MakeCaller = Callable[[], Caller]
MakeHttp = Callable[..., TestClient]


@pytest.fixture(scope="session")
def database_url(databases: Databases) -> str:
    """One database for all tests of the API; each has projects of its own."""
    return databases.fresh()


@pytest.fixture(scope="session")
def api_settings(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("api"),
        database_url=database_url,
        broker_url="memory://",
        secret="a secret of the tests",
        max_upload_bytes=20 * 2**20,
    )


@pytest.fixture(scope="session")
def app(api_settings: Settings) -> FastAPI:
    app = create_app(api_settings)
    # All tests come from one address: their wrong keys must not lock each other out.
    app.state.service.callers.failures = Bucket(burst=1e6, per_second=1)
    return app


@pytest.fixture(scope="session")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="session")
def sessions(app: FastAPI) -> sessionmaker[Session]:
    """Sessions that really commit, to the application's database."""
    return app.state.service.sessions


@pytest.fixture(scope="session")
def make_caller(sessions: sessionmaker[Session], api_settings: Settings) -> MakeCaller:
    secret = api_settings.secret.get_secret_value()

    def make() -> Caller:
        with sessions.begin() as session:
            project = factories.project(session)
            tokens = {
                scope: keys.create(
                    session, project_id=project.id, name=scope, scopes=[scope], secret=secret
                )[1]
                for scope in ("read", "write", "admin")
            }
        return Caller(project.id, tokens)

    return make


@pytest.fixture
def caller(make_caller: MakeCaller) -> Caller:
    return make_caller()


@pytest.fixture
def other(make_caller: MakeCaller) -> Caller:
    """A caller of another project."""
    return make_caller()


@pytest.fixture(scope="session")
def owner(make_caller: MakeCaller) -> Caller:
    """The caller to whom `finished` belongs."""
    return make_caller()


@pytest.fixture
def http(client: TestClient, caller: Caller) -> TestClient:
    """A client that sends the caller's `admin` key, unless the test sends another."""
    client.headers = caller["admin"]
    return client


@pytest.fixture
def make_http(api_settings: Settings, caller: Caller, tmp_path: Path) -> Iterator[MakeHttp]:
    """Makes clients of applications with settings of their own, on the same database."""
    with ExitStack() as open_clients:

        def make(**changed: Any) -> TestClient:
            values = {"data_dir": tmp_path / "data", **changed}
            app = create_app(api_settings.model_copy(update=values))
            client = TestClient(app, headers=caller["admin"])
            return open_clients.enter_context(client)

        yield make


@dataclass(frozen=True)
class Server:
    """A real server on a port of this machine."""

    address: tuple[str, int]
    app: FastAPI

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"


@pytest.fixture(scope="session")
def server(api_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The application behind uvicorn, in a thread."""
    folder = tmp_path_factory.mktemp("server")
    app = create_app(api_settings.model_copy(update={"data_dir": folder}))
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, name="server", daemon=True)
    thread.start()
    limit = time.monotonic() + 20
    while not running.started:
        assert time.monotonic() < limit, "the server did not start"
        time.sleep(0.02)
    yield Server(running.servers[0].sockets[0].getsockname()[:2], app)
    running.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def upload(http: TestClient, content: bytes = TABLE, filename: str = "people.csv") -> str:
    answer = http.post("/v1/uploads", params={"filename": filename}, content=content)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def dataset(http: TestClient, name: str = "people", content: bytes = TABLE) -> dict[str, Any]:
    answer = http.post("/v1/datasets", json={"name": name, "uploads": [upload(http, content)]})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@dataclass(frozen=True)
class Trained:
    """A small model as training leaves it."""

    manifest: dict[str, Any]
    weights: bytes


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The spec of these tests, trained in this process."""
    path = tmp_path_factory.mktemp("trained") / "people.csv"
    path.write_bytes(TABLE)
    spec = parse(SPEC)
    training = build(spec, prepare([DataFile(path.name, path)], spec.data, seed=0))
    while not training.done:
        list(training.epoch())
        training.end_epoch()
    return Trained(*pack(training, training.finish()))


@pytest.fixture(scope="session")
def finished(
    client: TestClient, sessions: sessionmaker[Session], owner: Caller, trained: Trained
) -> dict[str, Any]:
    """A job of `owner` that has succeeded; many tests share it, so they only read."""
    client.headers = owner["admin"]
    return finish(client, sessions, trained)


def finish(http: TestClient, sessions: sessionmaker[Session], trained: Trained) -> dict[str, Any]:
    """A job that has succeeded and left a model with files."""
    made = job(http, {**SPEC, "resources": {"priority": 1000}})
    files = {
        "manifest.json": (json.dumps(trained.manifest).encode(), "application/json"),
        "model.safetensors": (trained.weights, "application/octet-stream"),
        "predictions.csv": (PREDICTIONS, "text/csv"),
    }
    with sessions.begin() as session:
        claim = leases.claim(session, worker_id="wrk_tests", lease_seconds=60)
        assert claim is not None
        assert claim.job_id == made["id"]
        for name, (content, kind) in files.items():
            blob = blobs.write(session, content)
            artifacts.add(session, claim, name=name, blob=blob, media_type=kind)
        metrics = {"test/loss": 0.25, "test/auc": float("nan")}
        models.create(session, claim, name="people", manifest=trained.manifest, metrics=metrics)
        leases.finish(session, claim, summary=metrics)
    return dict(http.get(f"/v1/jobs/{made['id']}").json())


def job(http: TestClient, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """A queued job; makes its dataset where that is not there yet."""
    if http.get("/v1/datasets/people").status_code == 404:
        dataset(http)
    answer = http.post("/v1/jobs", json=spec or SPEC)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())

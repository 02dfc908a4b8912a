"""A supervisor in this process, and ways to wait for what it does to jobs."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.queue import Waker
from core.settings import Settings
from store import jobs as rows
from store.session import migrate
from store.tables import Job
from tests import factories
from tests.worker import jobs
from worker.database import Database
from worker.forks import ZYGOTE
from worker.processes import RUNNER
from worker.supervisor import Supervisor

LONG_SECONDS = 4.0  # of a job that is to be interrupted
TRAINER = (sys.executable, "-m", "tests.worker.trainer")


class House:
    """A database with a queue, and the supervisors that work on it."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        command: Sequence[str] = TRAINER,
        zygote: Sequence[str] | None = None,
    ) -> None:
        self.zygote = zygote
        self.settings, self.sessions, self.command = settings, sessions, command
        self.waker = Waker(settings)
        self.supervisors: list[Supervisor] = []

    def supervisor(self, **changes: Any) -> Supervisor:
        settings = self.settings.model_copy(update=changes)
        supervisor = Supervisor(
            settings, waker=self.waker, command=self.command, zygote=self.zygote
        )
        self.supervisors.append(supervisor)
        supervisor.start()
        return supervisor

    def submit(self, **trainer: Any) -> str:
        resources = trainer.pop("resources", {})
        given = {key: trainer.pop(key) for key in ("max_attempts", "priority") if key in trainer}
        spec = {"trainer": {"steps": 10, **trainer}, "resources": resources}
        with self.sessions.begin() as session:
            return factories.job(session, spec=spec, **given).id

    def job(self, job_id: str) -> Job:
        with self.sessions() as session:
            return rows.load(session, job_id)

    def wait(self, job_id: str, check: Callable[[Job], bool], seconds: float = 40) -> Job:
        return wait_for(lambda: self.job(job_id), check, seconds)

    def wait_for_state(self, job_id: str, *states: str, seconds: float = 40) -> Job:
        return self.wait(job_id, lambda job: job.state in states, seconds)

    def history(self, job_id: str) -> list[tuple[str, str | None]]:
        with self.sessions() as session:
            return [
                (m.after.value, m.reason and m.reason.value) for m in rows.history(session, job_id)
            ]

    def close(self) -> None:
        for supervisor in self.supervisors:
            supervisor.drain()
        for supervisor in self.supervisors:
            assert supervisor.join(40), "a supervisor did not end"
        self.waker.close()


def children_of(pid: int) -> dict[int, str]:
    """The living children of a process, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_text()
        except OSError:
            continue
        if int(stat[1]) == pid and stat[0] != "Z":
            found[int(folder.name)] = line.replace("\0", " ").strip()
    return found


def job_process_of(pid: int) -> int:
    """The newest process for jobs that a supervisor's process has started."""
    marks = ("tests.worker.trainer", "worker.runner", "worker.zygote")
    for child, line in children_of(pid).items():
        if "worker.zygote" in line and (forks := children_of(child)):
            return max(forks)
    return max(child for child, line in children_of(pid).items() if any(m in line for m in marks))


def wait_for(read: Callable[[], Any], check: Callable[[Any], bool], seconds: float = 40) -> Any:
    deadline = time.monotonic() + seconds
    while not check(value := read()):
        if time.monotonic() > deadline:
            state = {key: item for key, item in vars(value).items() if not key.startswith("_")}
            raise AssertionError(f"not within {seconds} s: {state}")
        time.sleep(0.02)
    return value


@pytest.fixture(scope="session", autouse=True)
def one_thread_each() -> Iterator[None]:
    """Job processes inherit this: several run at once here, and would fight for the cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        yield


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "lease_seconds": 4.0,
            "heartbeat_seconds": 0.5,
            "sweep_seconds": 0.3,
            "poll_seconds": 0.1,
            "grace_seconds": 10.0,
            "spare_process": False,
        }
    )


@pytest.fixture
def house(settings: Settings, own_sessions: sessionmaker[Session]) -> Iterator[House]:
    house = House(settings, own_sessions)
    yield house
    house.close()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A job that takes some seconds on this machine, and what it comes to uninterrupted."""
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("reference"),
        secret="a secret of the tests",
        broker_url="memory://",
        poll_seconds=0.1,
    )
    migrate(settings.database_url)
    database = Database(settings.database_url)
    house = House(settings, database.write, command=RUNNER, zygote=ZYGOTE)
    house.supervisor()
    epochs, seconds = 40, 0.0
    while seconds < LONG_SECONDS * 0.7:
        document = jobs.long_document(epochs)
        job_id = jobs.submit(house.sessions, document)
        job = house.wait_for_state(job_id, "succeeded", "failed", seconds=90)
        assert job.state == "succeeded", job.error
        seconds = (job.finished_at - job.started_at).total_seconds()
        epochs = int(epochs * min(10, LONG_SECONDS / seconds)) + 1
    house.close()
    outcome = jobs.outcome(house.sessions, job_id)
    database.close()
    return outcome | {"document": document}

"""A disk that fills up while a job writes its checkpoints."""

import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from core.settings import Settings
from store import jobs as rows
from store.session import migrate
from tests.worker import jobs
from tests.worker.conftest import House
from worker.database import Database
from worker.forks import ZYGOTE
from worker.housekeeping import Housekeeping
from worker.processes import RUNNER

# About 14 MiB a checkpoint, and soon more of them than the disk can hold.
WIDE = jobs.document(
    model={"blueprint": {"name": "mlp", "hidden": [1024, 1024]}},
    train={"epochs": 400, "checkpoint": {"every_seconds": 0.2, "every_epochs": 1, "keep": 1}},
)


pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for 60 MiB."""
    if shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=60m", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_pauses_the_job_and_keeps_its_last_checkpoint(settings, small_disk: Path):
    known = settings.model_dump() | {
        "data_dir": small_disk / "data",
        "database_url": f"sqlite:///{small_disk}/gradworks.db",
        "spare_process": True,
        "lease_seconds": 20.0,
    }
    known = Settings(_env_file=None, **known)
    migrate(known.database_url)
    database = Database(known.database_url)
    house = House(known, database.write, command=RUNNER, zygote=ZYGOTE)
    job_id = jobs.submit(database.write, WIDE)
    supervisor = house.supervisor()
    housekeeping = Housekeeping(known, supervisor, house.waker)
    housekeeping.start()

    full = house.wait_for_state(job_id, "paused", "failed", "succeeded")
    with database.read() as session:
        intact = session.execute(text("PRAGMA integrity_check")).scalar_one()
    subprocess.run(["mount", "-o", "remount,size=600m", str(small_disk)], check=True)
    with database.write.begin() as session:
        rows.resume(session, full.project_id, job_id)
    resumed = house.wait(job_id, lambda job: job.step > full.step)
    with database.write.begin() as session:
        rows.request_cancel(session, full.project_id, job_id)
    house.wait_for_state(job_id, "cancelled")
    housekeeping.stop()
    house.close()
    database.close()

    assert (full.state, full.reason, full.error["code"]) == ("paused", "storage", "storage_full")
    assert full.checkpoint_step is not None
    assert intact == "ok"
    assert resumed.state == "running"

"""A disk that fills up while a job writes its checkpoints."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import StorageFull
from core.settings import Settings
from store import blobs, jobs as rows
from store.session import migrate
from tests.worker import jobs
from tests.worker.conftest import House
from worker import reserve
from worker.database import Database
from worker.forks import ZYGOTE
from worker.housekeeping import Housekeeping
from worker.processes import RUNNER

MIB = 2**20

# About 14 MiB a checkpoint, and soon more of them than the disk can hold.
WIDE = jobs.document(
    model={"blueprint": {"name": "mlp", "hidden": [1024, 1024]}},
    train={"epochs": 400, "checkpoint": {"every_seconds": 0.2, "every_epochs": 1, "keep": 1}},
)

on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


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


@pytest.fixture
def crowded(settings, small_disk: Path):
    """A house that keeps all it has on the small disk, and its database."""
    known = settings.model_dump() | {
        "data_dir": small_disk / "data",
        "database_url": f"sqlite:///{small_disk}/gradworks.db",
        "spare_process": True,
        "lease_seconds": 20.0,
    }
    known = Settings(_env_file=None, **known)
    known.data_dir.mkdir(exist_ok=True)
    migrate(known.database_url)
    database = Database(known.database_url)
    house = House(known, database.write, command=RUNNER, zygote=ZYGOTE)
    yield house, database
    subprocess.run(["mount", "-o", "remount,size=600m", str(small_disk)], check=True)
    house.close()
    database.close()


@pytest.fixture
def housekeeping(crowded):
    house, _ = crowded
    housekeeping = Housekeeping(house.settings, house.supervisor(), house.waker)
    housekeeping.start()
    yield housekeeping
    housekeeping.stop()


@on_sqlite
@pytest.mark.usefixtures("housekeeping")
def test_a_full_disk_pauses_the_job_and_keeps_its_last_checkpoint(crowded, small_disk: Path):
    house, database = crowded
    job_id = jobs.submit(database.write, WIDE)

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

    assert (full.state, full.reason, full.error["code"]) == ("paused", "storage", "storage_full")
    assert full.checkpoint_step is not None
    assert intact == "ok"
    assert resumed.state == "running"


@on_sqlite
def test_the_reserve_makes_room_where_the_log_cannot_grow(crowded, small_disk: Path):
    _, database = crowded
    assert reserve.hold(small_disk / "data")
    with database.read() as reader:  # as long as it reads, nothing leaves the log
        reader.execute(text("SELECT count(*) FROM jobs"))
        for _ in range(2):
            with database.write.begin() as session:
                blobs.write(session, os.urandom(4 * MIB))
        _fill(small_disk)
    with pytest.raises(StorageFull):
        _write_much(database)
    emptied_before = database.empty_log()

    reserve.release(small_disk / "data")

    assert not emptied_before
    assert database.empty_log()
    assert (small_disk / "gradworks.db-wal").stat().st_size == 0
    _write_much(database)


def test_room_just_given_up_is_not_taken_again(small_disk: Path):
    assert reserve.hold(small_disk)
    _fill(small_disk)

    reserve.release(small_disk)

    assert not reserve.hold(small_disk)
    assert not list(small_disk.glob("reserve*"))


def test_a_folder_that_is_not_there_has_no_room_to_hold(tmp_path: Path):
    assert not reserve.hold(tmp_path / "absent")


def _fill(folder: Path) -> None:
    """Leave no byte of the disk."""
    with suppress(OSError), (folder / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _write_much(database: Database) -> None:
    """Write as much as the log never holds by chance, though less than the reserve."""
    with database.write.begin() as session:
        blobs.write(session, os.urandom(2 * MIB))

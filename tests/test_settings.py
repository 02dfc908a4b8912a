import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from core.settings import Settings

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / ".env.example"


def make(folder, **given):
    return Settings(_env_file=None, data_dir=folder, **given)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("GRADWORKS_")]:
        monkeypatch.delenv(name)


def test_the_example_lists_exactly_the_settings():
    listed = list(dotenv_values(EXAMPLE))

    assert listed == [f"GRADWORKS_{name.upper()}" for name in Settings.model_fields]


def test_the_example_holds_the_defaults(tmp_path):
    written = Settings(_env_file=EXAMPLE, data_dir=tmp_path)

    assert written == make(tmp_path)


def test_an_unset_database_is_a_file_in_the_data_folder(tmp_path):
    assert make(tmp_path).database_url == f"sqlite:///{tmp_path}/gradworks.db"
    assert make(tmp_path, database_url="postgresql://h/n").database_url == "postgresql://h/n"


def test_the_data_folder_does_not_move_with_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert make("data").data_dir == tmp_path / "data"


def test_settings_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADWORKS_PORT", "9001")
    monkeypatch.setenv("GRADWORKS_SECRET", "from the environment")

    settings = make(tmp_path)

    assert settings.port == 9001
    assert settings.secret.get_secret_value() == "from the environment"
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_made_once_and_kept(tmp_path):
    first = make(tmp_path / "data").secret.get_secret_value()

    assert len(first) >= 43
    assert make(tmp_path / "data").secret.get_secret_value() == first
    assert stat.S_IMODE((tmp_path / "data" / "secret").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret"]
    assert make(tmp_path / "other").secret.get_secret_value() != first


def test_a_secret_made_by_several_at_once_is_one(tmp_path):
    made = []
    start = threading.Barrier(8)

    def run():
        start.wait(10)
        made.append(make(tmp_path / "data").secret.get_secret_value())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(made) == 8
    assert len(set(made)) == 1


def test_a_secret_is_not_shown(tmp_path):
    settings = make(tmp_path, secret="hush hush")

    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.model_dump())


@pytest.mark.parametrize(
    "given",
    [
        {"port": 70_000},
        {"lease_seconds": 0},
        {"max_attempts": 0},
        {"log_format": "xml"},
        {"lease_seconds": 10, "heartbeat_seconds": 6},
    ],
)
def test_settings_that_cannot_work(tmp_path, given):
    with pytest.raises(ValidationError):
        make(tmp_path, **given)


def test_only_the_settings_read_the_environment():
    packages = ("api", "core", "spec", "store", "worker", "migrations")
    readers = [
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"environ(\[|\.get|\.items|\.copy)|getenv", path.read_text())
    ]

    assert readers == []


def test_reading_settings_is_quick():
    """Every process reads them at its start."""
    code = "import sys, core.settings; print('sqlalchemy' in sys.modules, 'celery' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30
    )

    assert done.stdout.split() == ["False", "False"]

"""The command line as a process: what it prints, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.gradworks.conftest import QUICK


@pytest.fixture
def gradworks(service, client, tmp_path):
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "gradworks", "--data-dir", str(service.folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path)), **environment},
        )

    return run


@pytest.fixture
def spec(tmp_path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(QUICK))
    return path


def test_submit_watch_download_predict(gradworks, spec, tmp_path):
    submitted = gradworks("jobs", "submit", str(spec), "--watch", "--json")
    assert submitted.returncode == 0, submitted.stderr
    job = json.loads(submitted.stdout)
    assert job["state"] == "succeeded"
    assert "succeeded" in submitted.stderr

    downloaded = gradworks("models", "download", job["model_id"], "--to", str(tmp_path / "m"))
    assert downloaded.returncode == 0, downloaded.stderr
    assert (tmp_path / "m" / "model.safetensors").exists()

    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{f"pixel_{n}": 0 for n in range(64)}]))
    predicted = gradworks("models", "predict", job["model_id"], str(rows))
    assert predicted.returncode == 0, predicted.stderr
    assert json.loads(predicted.stdout)[0]["label"] in range(10)


def test_plan_shows_every_layer(gradworks, spec):
    shown = gradworks("plan", str(spec))

    assert shown.returncode == 0, shown.stderr
    assert "4,810 parameters" in shown.stdout


def test_plan_lays_the_compiled_step_open(gradworks, spec):
    shown = gradworks("plan", str(spec), "--explain")

    assert shown.returncode == 0, shown.stderr
    assert all(part in shown.stdout for part in ("passes", "simplify", "kernels", "arena bytes"))


def test_a_refused_spec_is_told_in_plain_words(gradworks, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(QUICK | {"train": {"epochs": 3, "bach_size": 3}}))

    refused = gradworks("plan", str(wrong))

    assert refused.returncode == 3
    assert "/train/bach_size" in refused.stderr
    assert "batch_size" in refused.stderr
    assert refused.stdout == ""


def test_lists_and_logs(gradworks, finished):
    listed = gradworks("jobs", "list", "--json")
    assert finished["id"] in [job["id"] for job in json.loads(listed.stdout)]
    assert finished["id"] in gradworks("jobs", "list", "--state", "succeeded").stdout
    assert gradworks("jobs", "logs", finished["id"]).returncode == 0
    assert "digits" in gradworks("datasets", "list").stdout
    assert "pixel_63" in gradworks("datasets", "show", "digits").stdout


def test_exit_codes(gradworks):
    assert gradworks("jobs", "watch", "job_nowhere").returncode == 5
    assert gradworks("jobs", "list", GRADWORKS_API_KEY="gw_wrong").returncode == 4
    assert gradworks("jobs", "list", GRADWORKS_URL="http://127.0.0.1:9").returncode == 6
    assert gradworks("jobs", "sing").returncode == 2


def test_a_second_service_in_the_same_folder_is_refused(gradworks):
    refused = gradworks("up", "--port", "0")

    assert refused.returncode == 1
    assert "already" in refused.stderr

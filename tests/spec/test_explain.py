"""`python -m engine.compile explain`: a spec's step, for data given or said by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from spec.explain import main, of_profile
from spec.jobs import parse
from tests.spec.specs import layers
from tests.spec.tables import DIGITS

SAID = ["--input", "image=1x8x8", "--classes", "10"]


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "digits.yaml"
    path.write_text(yaml.safe_dump(layers("flatten", {"linear": 16}, "relu", {"linear": 10})))
    return str(path)


def test_the_command_of_the_engine_reads_specs(spec: str) -> None:
    command = [sys.executable, "-m", "engine.compile", "explain", spec, *SAID]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(part in done.stdout for part in ("passes", "kernels", "arena", "cross_entropy"))


def test_an_unknown_command_says_what_there_is() -> None:
    command = [sys.executable, "-m", "engine.compile", "explode"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "explain" in done.stderr


def test_json_and_times(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([spec, *SAID, "--json", "--time", "--graphs"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(line["seconds"] >= 0 for line in found["kernels"])
    assert found["totals"]["seconds"] > 0
    assert found["stages"][0]["listing"].startswith("graph(")


def test_a_profile_gives_the_same_as_shapes_said_by_hand(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([spec, *SAID, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = of_profile(parse(yaml.safe_load(Path(spec).read_text())), DIGITS)
    assert json.loads(json.dumps(found.to_json())) == said


def test_problems_are_told(tmp_path: Path, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("model: {layers: [liner]}\n")
    assert main([str(wrong), *SAID]) == 1
    assert "/model" in capsys.readouterr().err
    assert main([str(tmp_path / "missing.yaml")]) == 1
    with pytest.raises(SystemExit, match="--input"):
        main([spec])
    with pytest.raises(SystemExit, match="--classes"):
        main([spec, *SAID[:2]])
    with pytest.raises(SystemExit, match="1x8x8"):
        main([spec, "--input", "image=big", "--classes", "10"])

"""Which back end runs a step, and what becomes of one that cannot."""

from typing import Any

import numpy as np
import pytest

from engine.compile import Inference, TrainStep
from engine.compile.backend import Backend, default_threads
from engine.optim import Adam
from tests.engine.backend.cpu.programs import compiler
from tests.engine.compile.models import CASES


def step(**options: Any) -> TrainStep:
    model = CASES["mlp"].build().init(3)
    return TrainStep(
        model, CASES["mlp"].loss, Adam(model.named_parameters(), lr=1e-2), seed=5, **options
    )


def run(made: TrainStep, steps: range) -> list[float]:
    return [made(CASES["mlp"].batch(8, n), step=n, lr=1e-2)["loss"] for n in steps]


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADWORKS_COMPILER", compiler().command[0])


@pytest.mark.usefixtures("native")
def test_steps_say_what_runs_them() -> None:
    assert step().backend == f"c ({compiler().version})"
    assert step(mode="interpreter").backend == "interpreter"
    assert step(mode="eager").backend == "eager"
    assert Inference(CASES["mlp"].build().init(0)).backend.startswith("c (")


@pytest.mark.usefixtures("native")
def test_compiled_steps_learn_as_interpreted_ones_do() -> None:
    found, expected = run(step(), range(6)), run(step(mode="interpreter"), range(6))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_environment_may_forbid_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADWORKS_COMPILER", "none")
    made = step()
    assert made.backend == "interpreter: GRADWORKS_COMPILER is none"
    assert run(made, range(3)) == run(step(mode="interpreter"), range(3))


def test_a_compiler_that_is_not_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADWORKS_COMPILER", "no-such-compiler-here")
    made = step()
    assert run(made, range(2)) == run(step(mode="interpreter"), range(2))
    assert "no-such-compiler-here" in made.backend
    assert made.backend.startswith("interpreter: ")


def test_a_compiler_that_fails_later_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """It compiles the probe, and then no more."""
    script = tmp_path / "cc"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {compiler().command[0]} "$@"\n'
        "cat > $0.c; grep -q gw_one $0.c || exit 9\n"
        f'exec {compiler().command[0]} "$@" < $0.c\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("GRADWORKS_CACHE", str(tmp_path))
    monkeypatch.setenv("GRADWORKS_COMPILER", str(script))
    made = step()
    assert made.backend.startswith("c (")
    np.testing.assert_allclose(
        run(made, range(2)), run(step(mode="interpreter"), range(2)), rtol=1e-5
    )
    assert "refused generated code" in made.backend


def test_threads_come_from_the_caller_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Backend("interpreter", 3).threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert default_threads() == 5
    monkeypatch.setenv("GRADWORKS_THREADS", "4")
    assert default_threads() == 4
    monkeypatch.setenv("GRADWORKS_THREADS", "many")
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert default_threads() >= 1
    with pytest.raises(ValueError, match="threads must be"):
        Backend("interpreter", 0)

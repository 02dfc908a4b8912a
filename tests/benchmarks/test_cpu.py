"""The arithmetic of the CPU benchmark: ratios, agreement, targets; and that its rows can be run."""

import json

import numpy as np
import pytest

from benchmarks.cpu import ours, race, rows, weights
from benchmarks.cpu.batches import batches
from benchmarks.cpu.race import Effort, Peer, PeerError, Result
from benchmarks.cpu.report import TOLERANCE, disagreement, notes, row_json, table
from benchmarks.cpu.variants import variants

LOSSES = [[2.0], [1.0]]
COMPILED = {"cold_ms": 900.0, "warm_ms": 30.0}


def result(*times, losses=LOSSES, **known):
    return Result(times=list(times), results=losses, variant="plain", **known)


def race_of(ours_ms=1.0, **peers):
    given = {"torch_eager": 5.0, "torch_compile": 4.0, "jax": 3.0} | peers
    return {"ours": result(ours_ms), **{name: result(ms) for name, ms in given.items()}}


def row(name="mlp-small", found=None, compiled=COMPILED):
    return row_json(rows.find(name), found or race_of(), compiled)


# Ratios and targets


def test_a_ratio_is_the_best_peers_time_over_ours():
    found = row(found=race_of(2.0, torch_eager=9.0, torch_compile=5.0, jax=6.0))

    assert found["best_peer"] == "torch_compile"
    assert found["best_peer_ms"] == 5.0
    assert found["ratio_best"] == 2.5
    assert found["ratios"] == {"torch_eager": 4.5, "torch_compile": 2.5, "jax": 3.0}


def test_a_time_is_the_least_over_the_rounds():
    found = row(found=race_of() | {"ours": result(3.0, 1.5, 2.0)})

    assert found["ours_ms"] == 1.5
    assert found["median_ms"]["ours"] == 2.0


def test_a_row_holds_where_every_target_is_reached():
    assert row(found=race_of(1.0, torch_eager=4.0, torch_compile=4.0, jax=2.0))["held"]
    assert not row(found=race_of(1.0, torch_eager=4.0, torch_compile=4.0, jax=1.9))["held"]
    assert not row(found=race_of(1.0, torch_eager=3.9, torch_compile=4.0, jax=2.0))["held"]


def test_a_row_without_one_of_its_peers_does_not_hold():
    found = race_of() | {"jax": Result(error="jax (plain): ModuleNotFoundError")}

    assert row(found=found)["held"] is False
    assert row(found=found)["peers"]["jax"] is None


def test_compile_times_hold_within_both_limits():
    assert row(compiled={"cold_ms": 1500.0, "warm_ms": 50.0})["compile_held"]
    assert not row(compiled={"cold_ms": 1501.0, "warm_ms": 50.0})["compile_held"]
    assert not row(compiled={"cold_ms": 1500.0, "warm_ms": 51.0})["compile_held"]
    assert not row(compiled={})["compile_held"]


# Agreement


def test_disagreement_is_relative_to_each_step():
    assert disagreement([[2.0], [0.5]], [[2.0], [1.0]]) == 0.5
    assert disagreement([[1.0, 3.0]], [[1.0, 4.0]]) == 0.25
    assert disagreement(LOSSES, LOSSES) == 0.0


@pytest.mark.parametrize("wrong", [[], [[2.0]], [[2.0], [1.0, 1.0]], [[2.0], [float("nan")]]])
def test_what_cannot_be_compared_disagrees(wrong):
    assert disagreement(wrong, LOSSES) == float("inf")


def test_a_row_that_disagrees_with_pytorch_does_not_count():
    near = race_of() | {"ours": result(1.0, losses=[[2.0], [1.0 + 0.9 * TOLERANCE]])}
    far = race_of() | {"ours": result(1.0, losses=[[2.0], [1.0 + 1.1 * TOLERANCE]])}

    assert row(found=near)["held"]
    assert not row(found=far)["counts"]
    assert not row(found=far)["held"]
    assert "does not count" in table([row(found=far)])
    assert any("ours is 1.1e-04 from torch_eager" in line for line in notes(row(found=far)))


def test_our_own_failure_is_named_and_nothing_is_held():
    found = row(found=race_of() | {"ours": Result(error="ours (c): no such layer")}, compiled={})

    assert found["ours_ms"] is None
    assert found["ratio_best"] is None
    assert not found["counts"]
    assert "mlp-small: ours FAILED: ours (c): no such layer" in table([found])


# Form


def test_rows_are_json_with_the_names_that_readers_look_for():
    found = json.loads(json.dumps(row()))

    assert {"name", "ours_ms", "peers", "best_peer_ms", "ratio_best"} <= found.keys()
    assert set(found["peers"]) == {"torch_eager", "torch_compile", "jax"}


def test_the_table_has_a_line_for_every_row():
    found = [row(), row("infer-cnn", race_of(onnxruntime=0.5))]

    lines = table(found).splitlines()

    assert lines[0].split()[:2] == ["work", "ours"]
    assert lines[1].startswith("MLP 64-128-128-10, batch 64, Adam")
    assert lines[2].split()[-5:] == ["0.50×", "1×", "short", "900.0", "30.0"]


# Rows


def test_every_row_has_settings_for_each_of_its_peers():
    for one in rows.ROWS:
        for peer in ("ours", *one.peers):
            assert len(set(variants(peer, one))) == len(variants(peer, one)) > 0


def test_an_unknown_row_is_refused_with_those_there_are():
    with pytest.raises(KeyError, match=r"no row is called 'mlp'.*mlp-small"):
        rows.find("mlp")


@pytest.mark.parametrize("model", weights.MODELS)
def test_our_model_takes_the_common_weights(model):
    state = ours.filled(model).state_dict()

    for name, array in weights.initial(model).items():
        np.testing.assert_array_equal(state[name], array)


def test_batches_are_the_same_in_every_process():
    for one in rows.ROWS:
        first, second = batches(one), batches(one)
        assert ("y" in first[0]) == one.trains
        for mine, other in zip(first, second, strict=True):
            assert all(np.array_equal(mine[name], other[name]) for name in mine)
        assert not all(np.array_equal(first[0][name], first[1][name]) for name in first[0])


def test_peers_run_in_processes_and_take_turns():
    one = rows.find("mlp-small")
    effort = Effort(rounds=2, seconds=0.001)

    found = race.run(one, {"ours": ("c",), "torch_eager": ("no such setting",)}, effort, 1)

    assert len(found["ours"].times) == 2
    assert len(found["ours"].results) == race.CHECKED
    assert found["ours"].results[-1] < found["ours"].results[0]
    assert found["torch_eager"].error.startswith("torch_eager (no such setting): ")


def test_a_row_that_was_not_compiled_is_a_failure(monkeypatch):
    monkeypatch.setenv("GRADWORKS_COMPILER", "none")

    found = race.run(rows.find("infer-mlp-small"), {"ours": ("c",)}, Effort(rounds=1), 1)

    assert found["ours"].error == "ours (c): not compiled, interpreter: GRADWORKS_COMPILER is none"
    assert not found["ours"].times


def test_a_peer_that_fails_tells_its_last_words():
    lost = rows.Row("nowhere", "", "mlp_small", 1, 1.0)

    with pytest.raises(PeerError, match=r"ours \(c\): KeyError: .*no row is called 'nowhere'"):
        Peer("ours", "c", lost, 1)

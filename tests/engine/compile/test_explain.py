"""A compiled step laid open: passes, kernels, the arena, and what kernels take."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from engine.compile import TrainStep
from engine.compile.explain import Explanation, explain
from engine.compile.listing import text
from engine.ir.graph import TensorType
from engine.optim import Adam
from tests.engine.compile.models import CASES


def explained(name: str = "convnet", **options: Any) -> Explanation:
    case = CASES[name]
    model = case.build()
    optimizer = Adam(model.named_parameters())
    return explain(model, case.loss, optimizer, case.batch(16, 0), **options)


def test_the_graph_shrinks_from_pass_to_pass() -> None:
    found = explained()
    assert [stage.name for stage in found.stages] == [
        "trace",
        "simplify",
        "multiply tables",
        "narrow products",
        "fuse",
        "end convolutions",
        "mark sparse",
    ]
    nodes = [stage.nodes for stage in found.stages]
    assert nodes == sorted(nodes, reverse=True)
    assert nodes[0] > nodes[-1]
    assert all(sum(stage.operations.values()) == stage.nodes for stage in found.stages)


def test_kernels_are_those_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    found = explained()
    case = CASES["convnet"]
    model = case.build().init(0)
    step = TrainStep(model, case.loss, Adam(model.named_parameters()))
    if not step.backend.startswith("c ("):
        pytest.skip("no C compiler on this machine")
    plan = step.plan(case.batch(16, 0))
    assert [line.name for line in found.kernels] == [launch.name for launch in plan.launches]
    assert [line.flops for line in found.kernels] == [launch.flops for launch in plan.launches]
    assert found.totals["arena_bytes"] == plan.arena_bytes
    assert found.totals["flops"] == plan.flops
    assert found.totals["references"] == 0
    conv = next(line for line in found.kernels if line.name == "conv")
    assert (conv.runs_as, conv.module, conv.phase) == ("c", "0", "forward")
    assert conv.bytes == 4 * (16 * 64 + 4 * 9 + 4 + 16 * 4 * 64)


def test_blocks_that_live_at_one_time_do_not_meet() -> None:
    found = explained()
    assert found.arena
    for one in found.arena:
        assert one.offset >= 0
        assert one.offset + one.bytes <= found.totals["arena_bytes"]
        for other in found.arena:
            together = one.first < other.first < one.last
            apart = (
                one.offset + one.bytes <= other.offset or other.offset + other.bytes <= one.offset
            )
            assert other is one or not together or apart


def test_a_large_step_is_told_in_part() -> None:
    found = explained(most=5)
    assert len(found.kernels) == len(found.arena) == 5
    assert found.left_out["kernels"] == found.totals["kernels"] - 5
    assert "… and" in text(found)


def test_of_a_very_large_step_only_the_trace_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.compile.explain.MOST_NODES", 10)
    found = explained("mlp")
    assert [stage.name for stage in found.stages] == ["trace"]
    assert found.left_out == {"nodes": found.stages[0].nodes}
    assert (found.kernels, found.arena, found.totals) == ([], [], {})
    assert text(found).startswith("passes")


def test_nothing_of_the_size_of_a_tensor_is_allocated() -> None:
    case = CASES["mlp"]
    model = case.build()
    batch = {"x": TensorType((1 << 22, 12), np.dtype("float32"))}
    batch["y"] = TensorType((1 << 22,), np.dtype("int64"))
    tracemalloc.start()
    found = explain(model, case.loss, Adam(model.named_parameters()), batch)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.totals["arena_bytes"] > 1 << 28
    assert most < 1 << 25


def test_graphs_are_listed_where_wanted() -> None:
    assert all(stage.listing is None for stage in explained("mlp").stages)
    found = explained("mlp", graphs=True)
    assert all("cross_entropy" in (stage.listing or "") for stage in found.stages)
    assert "cross_entropy" in text(found)


@pytest.mark.parametrize("mode", ["graph", "interpreter"])
def test_every_launch_is_timed(mode: Any) -> None:
    case = CASES["mlp"]
    model = case.build().init(0)
    step = TrainStep(model, case.loss, Adam(model.named_parameters()), mode=mode)
    batch = case.batch(16, 0)
    spent = step.measure(batch, runs=3)
    assert sorted(spent) == list(range(len(step.plan(batch).launches)))
    assert all(seconds >= 0 for seconds in spent.values())
    assert sum(spent.values()) > 0
    found = explained("mlp").timed(spent)
    assert found.totals["seconds"] == pytest.approx(sum(spent.values()))
    assert "microseconds" in text(found)

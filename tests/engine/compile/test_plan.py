"""Plans as data and as text."""

import json

import numpy as np

from engine.compile.plan import Plan, make_plan
from engine.ir.graph import TensorType
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p

F4 = np.dtype("float32")


def step(w: Tensor, x: Tensor) -> dict[str, Tensor]:
    y = x @ w.transpose(0, 1)
    return {"total": (y * 2.0).sum(), "w": w - 0.5 * w}


def plan() -> Plan:
    graph = trace(step, *p.types([(4, 3), (2, 3)]))
    graph.updates = {0: 1}
    return make_plan(graph, [0])


def test_views_are_places_and_no_launches() -> None:
    found = plan()
    assert [launch.name for launch in found.launches] == ["matmul", "mul", "sum", "mul", "sub"]
    weight = found.launches[0].inputs[1]
    assert (weight.place.buffer, weight.place.strides) == (1, (4, 12))


def test_results_are_the_outputs_that_update_nothing() -> None:
    found = plan()
    assert [slot.name for slot in found.results] == ["total"]
    assert found.outputs[1].place == found.inputs[0].place


def test_a_plan_is_json() -> None:
    found = json.loads(json.dumps(plan().to_json()))
    assert [buffer["kind"] for buffer in found["buffers"]] == [
        "arena",
        "input",
        "constant",
        "constant",
    ]
    assert found["launches"][0] == {
        "op": "matmul",
        "inputs": [
            {"dtype": "float32", "shape": [2, 3], "buffer": 0, "offset": 0, "strides": [12, 4]},
            {"dtype": "float32", "shape": [3, 4], "buffer": 1, "offset": 0, "strides": [4, 12]},
        ],
        "outputs": [
            {"dtype": "float32", "shape": [2, 4], "buffer": 0, "offset": 64, "strides": [16, 4]}
        ],
        "attrs": "",
        "module": "",
        "phase": "forward",
        "flops": 2 * 2 * 3 * 4,
    }


def test_a_plan_describes_itself() -> None:
    lines = plan().describe().splitlines()
    assert lines[0].startswith("5 launches, ")
    assert "input   w:float32[4, 3]" in lines
    assert "input   x=@0:float32[2, 3]" in lines
    assert any(
        "matmul(@0:float32[2, 3], w:float32[3, 4] strides [4, 12])" in line for line in lines
    )
    assert any("mul(@64:float32[2, 4], 2.0)" in line for line in lines)


def test_a_plan_describes_constants_of_one_number() -> None:
    same = np.broadcast_to(np.float32(2.5), (3, 4))
    made = make_plan(trace(lambda x: x + same, TensorType((3, 4), F4)))
    assert "add(@0:float32[3, 4], 2.5)" in made.describe()


def test_flops_are_those_of_the_operations() -> None:
    graph = trace(lambda x, y: x @ y, *p.types([(3, 4), (4, 5)]))
    assert make_plan(graph).flops == 2 * 3 * 4 * 5


def test_constants_count_the_memory_they_take() -> None:
    zeros = np.broadcast_to(np.float32(0), (1000, 1000))
    graph = trace(lambda x: x + zeros, TensorType((1000, 1000), F4))
    assert make_plan(graph).buffers[1].nbytes == 4


def test_fingerprints_tell_plans_apart() -> None:
    def of(function: object, shape: tuple[int, ...] = (3, 3)) -> str:
        return make_plan(trace(function, *p.types([shape]))).fingerprint()  # type: ignore[arg-type]

    table = np.arange(9, dtype="float32").reshape(3, 3)
    functions = [
        lambda x: x * 2.0,
        lambda x: x * 3.0,
        lambda x: x + 2.0,
        lambda x: x.sum(0),
        lambda x: x.sum(1),
        lambda x: x.transpose(0, 1) * 2.0,
        lambda x: x * table,
        lambda x: x * (table + 1),
    ]
    assert len({of(function) for function in functions}) == len(functions)
    assert of(functions[0]) == of(lambda y: y * 2.0)
    assert of(functions[0]) != of(functions[0], (3, 4))

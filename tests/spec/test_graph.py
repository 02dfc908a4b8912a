"""Graphs: names must exist, lead somewhere and not go round in a circle."""

from typing import Any

import pytest

from spec.graph import GraphSpec, faults, in_order

INPUTS = ["age", "job"]


def graph(output: str = "out", **nodes: Any) -> GraphSpec:
    return GraphSpec.model_validate({"nodes": nodes, "output": output})


def found(spec: GraphSpec) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in faults(spec, INPUTS)]


BOTH = {"concat": ["h", "age"]}
EMBEDDED = {"embedding": 4, "from": "job"}


def test_a_good_graph_has_no_faults_and_an_order() -> None:
    spec = graph(out={"linear": 1, "from": "both"}, both=BOTH, h=EMBEDDED)
    assert found(spec) == []
    assert in_order(spec) == ["h", "both", "out"]


def test_an_unknown_name_gets_a_suggestion() -> None:
    spec = graph(out={"linear": 1, "from": "bothh"}, both=BOTH, h=EMBEDDED)
    (problem,) = faults(spec, INPUTS)
    assert (problem.pointer, problem.code) == ("/nodes/out/from", "unknown_name")
    assert problem.hint == "did you mean both?"


def test_an_unknown_output() -> None:
    assert found(graph("outt", out={"linear": 1, "from": "age"})) == [("/output", "unknown_name")]


def test_a_cycle_is_told_in_full() -> None:
    spec = graph(
        a={"linear": 2, "from": "c"},
        b={"linear": 2, "from": "a"},
        c={"linear": 2, "from": "b"},
        out={"concat": ["a", "age", "job"]},
    )
    (problem,) = faults(spec, INPUTS)
    assert problem.code == "cycle"
    assert sorted(set(problem.detail.split(": ")[1].split(" → "))) == ["a", "b", "c"]


def test_a_node_that_takes_itself_is_a_cycle() -> None:
    (problem,) = faults(graph(out={"add": ["out", "age"]}), ["age"])
    assert (problem.pointer, problem.code) == ("/nodes/out/from", "cycle")


def test_nodes_and_inputs_that_lead_nowhere_are_named() -> None:
    spec = graph(out={"linear": 1, "from": "age"}, h=EMBEDDED)
    assert found(spec) == [("/nodes/h", "unused"), ("/nodes", "unused")]


def test_a_node_may_not_take_the_name_of_an_input() -> None:
    spec = graph(age={"linear": 2, "from": "job"}, out={"linear": 1, "from": "age"})
    assert ("/nodes/age", "conflict") in found(spec)


@pytest.mark.parametrize("size", [1, 400])
def test_a_long_chain_is_ordered_without_recursion(size: int) -> None:
    nodes = {f"n{i}": {"linear": 1, "from": f"n{i - 1}" if i else "age"} for i in range(size)}
    spec = graph(f"n{size - 1}", **nodes)
    assert in_order(spec) == [f"n{i}" for i in range(size)]

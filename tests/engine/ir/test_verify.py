"""Graphs that contradict themselves."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.errors import GraphError
from engine.ir.graph import Graph, TensorType, Value
from engine.ir.trace import trace
from engine.ir.verify import verify


def graph() -> Graph:
    return trace(lambda x: (x * 2.0).tanh().sum(), TensorType((3,), np.dtype("float32")))


def swap(g: Graph) -> None:
    g.nodes[0], g.nodes[1] = g.nodes[1], g.nodes[0]


def retype(g: Graph) -> None:
    g.nodes[1].outputs[0].type = TensorType((4,), np.dtype("float32"))


def repeat(g: Graph) -> None:
    g.nodes.append(g.nodes[-1])


def stranger(g: Graph) -> None:
    g.nodes[1].inputs = (graph().inputs[0],)


def foreign(g: Graph) -> None:
    g.inputs.append(graph().inputs[0])


def unmade(g: Graph) -> None:
    g.outputs.append(Value(g, 99, g.outputs[0].type, node=None, index=0, name=""))


def disowned(g: Graph) -> None:
    g.nodes[1].outputs[0].node = g.nodes[0]


def wrong_constant(g: Graph) -> None:
    (value,) = g.constants
    g.constants[value] = np.zeros(3)


def wrong_update(g: Graph) -> None:
    g.updates = {0: 0}


def no_update(g: Graph) -> None:
    g.updates = {0: 7}


def made_input(g: Graph) -> None:
    g.inputs[0].node = g.nodes[0]


def test_a_traced_graph_is_sound() -> None:
    g = graph()
    assert verify(g) is g


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (swap, "before it is made"),
        (retype, "its rule says"),
        (repeat, "made twice"),
        (stranger, "before it is made"),
        (foreign, "belongs to another graph"),
        (unmade, "never made"),
        (disowned, "does not know where it comes from"),
        (wrong_constant, "holds float64"),
        (wrong_update, "of another type"),
        (no_update, "not there"),
        (made_input, "has a node"),
    ],
)
def test_a_damaged_graph_is_refused(damage: Callable[[Graph], None], message: str) -> None:
    g = graph()
    damage(g)
    with pytest.raises(GraphError, match=message):
        verify(g)

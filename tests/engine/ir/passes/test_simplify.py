"""All simplifications together: fewer nodes, the same bits."""

from hypothesis import given, settings

from engine.ir.passes.algebra import reduce_algebra
from engine.ir.passes.dead import remove_dead
from engine.ir.passes.fold import fold
from engine.ir.passes.merge import merge
from engine.ir.passes.simplify import simplify
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p

PASSES = [remove_dead, fold, merge, reduce_algebra, simplify]


@settings(max_examples=150, deadline=None)
@given(p.programs, p.inputs)
def test_no_pass_changes_a_bit(program: p.Program, shapes: list[tuple[int, ...]]) -> None:
    given_ = p.arrays(shapes)
    function = p.function(program)
    expected = [t.numpy() for t in function(*map(Tensor, given_))]
    graph = trace(function, *p.types(shapes))
    p.same(p.interpret(graph, given_), expected)
    for simpler in PASSES:
        p.same(p.interpret(simpler(graph), given_), expected)


def test_a_second_sweep_finds_nothing() -> None:
    def f(x: Tensor) -> Tensor:
        y = (x * 1.0 - 0.0).reshape(6).reshape(3, 2)
        return (y.tanh() + y.tanh()).sum() + x.exp().sum() * 0.0

    graph = simplify(trace(f, *p.types([(2, 3)])))
    assert [node.op.name for node in graph.nodes] == [
        node.op.name for node in simplify(graph).nodes
    ]
    assert [node.op.name for node in graph.nodes].count("tanh") == 1

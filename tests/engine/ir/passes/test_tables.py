"""Small tables of embeddings are multiplied before their rows are taken."""

from collections.abc import Sequence

import numpy as np
import pytest

import engine
from engine.ir.graph import Graph
from engine.ir.passes.differentiate import differentiate
from engine.ir.passes.fuse import fuse
from engine.ir.passes.narrow import narrow_products
from engine.ir.passes.simplify import simplify
from engine.ir.passes.sparse import mark_sparse
from engine.ir.passes.tables import multiply_tables
from engine.tensor import Tensor
from tests.engine.backend.cpu.programs import close, interpreted, of_function, run, widened

BATCH, WIDTH, OUTPUTS = 320, 16, 100
#: Rows of tables, and None for numbers.
Parts = Sequence[int | None]


def layer(parts: Parts, *tensors: Tensor) -> Tensor:
    """The sum of the squares of a linear layer of tables' rows and numbers, behind ReLU."""
    found, left = [], list(tensors[3:])
    for rows in parts:
        first = left.pop(0)
        found.append(first if rows is None else engine.embedding(first, left.pop(0)))
    weight, bias, second = tensors[:3]
    inside = engine.linear(engine.cat(found, 1), weight, bias).relu()
    return engine.sum((inside @ second) ** 2.0)


def arrays_of(parts: Parts) -> list[np.ndarray]:
    draw = np.random.default_rng(len(parts))
    columns = sum(7 if rows is None else WIDTH for rows in parts)
    shapes = [(OUTPUTS, columns), (OUTPUTS,), (OUTPUTS, 3)]
    found = [draw.standard_normal(shape, np.float32) for shape in shapes]
    for rows in parts:
        if rows is None:
            found.append(draw.standard_normal((BATCH, 7), np.float32))
        else:
            found.append(draw.standard_normal((rows, WIDTH), np.float32))
            found.append(draw.integers(0, rows, BATCH))
    return found


def graph_of(parts: Parts, arrays: Sequence[np.ndarray], wrt: list[int] | None = None) -> Graph:
    graph = of_function(lambda *tensors: layer(parts, *tensors), arrays)
    return simplify(differentiate(graph, wrt))


def compiled(graph: Graph) -> Graph:
    return mark_sparse(fuse(narrow_products(multiply_tables(graph))))


def counted(graph: Graph, name: str) -> list[tuple[int, ...]]:
    """What the operations of a name make."""
    return [node.outputs[0].type.shape for node in graph.nodes if node.op.name == name]


def check(parts: Parts, wrt: list[int] | None = None) -> Graph:
    """The numbers of the new graph, interpreted and compiled, beside those of the old one."""
    arrays = arrays_of(parts)
    graph, wide = graph_of(parts, arrays, wrt), widened(arrays)
    made = multiply_tables(graph)
    expected = interpreted(graph_of(parts, wide, wrt), wide)
    for found in (interpreted(made, arrays), run(compiled(graph), arrays)):
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    return made


@pytest.mark.parametrize(
    "parts",
    [
        (10, None),
        (None, 10),
        (10, 50, 300, None),
        (300, 10, 200, 50, 300),
        (None, 10, None, 50, None),
        (10, 300, None, 50),
    ],
)
def test_the_layer_and_all_gradients_stay_what_they_were(parts: Parts) -> None:
    made = check(parts)
    small = [rows for rows in parts if rows is not None and rows <= BATCH // 4]
    assert [shape for shape in counted(made, "linear") if shape[0] in small] == [
        (rows, OUTPUTS) for rows in small
    ]
    sums = [(rows, OUTPUTS) for rows in small]
    assert sorted(s for s in counted(made, "add_rows") if s[1] == OUTPUTS) == sorted(sums)


def test_gradients_that_nobody_wants_are_not_made() -> None:
    for wrt, sums in (([0], 1), ([1], 0), ([3], 1), ([5], 0), ([], 0)):
        made = check((10, None), wrt)
        assert counted(made, "add_rows") == [(10, OUTPUTS)] * sums


@pytest.mark.parametrize(
    "parts",
    [(300, None), (None, None), (10, 50), (BATCH // 4 + 1, None)],
)
def test_large_tables_and_layers_of_nothing_else_stay(parts: Parts) -> None:
    graph = graph_of(parts, arrays_of(parts))
    assert multiply_tables(graph) is graph


def test_rows_that_somebody_else_reads_are_taken_as_before() -> None:
    arrays = arrays_of((10, None))

    def twice(*tensors: Tensor) -> Tensor:
        return layer((10, None), *tensors) + engine.sum(engine.embedding(*tensors[3:5]))

    graph = simplify(of_function(twice, arrays))
    assert multiply_tables(graph) is graph

    def padded(weight: Tensor, table: Tensor, places: Tensor, x: Tensor) -> Tensor:
        rows = engine.embedding(table, places, padding_idx=0)
        return engine.linear(engine.cat([rows, x], 1), weight)

    graph = simplify(of_function(padded, [arrays[0], *arrays[3:]]))
    assert multiply_tables(graph) is graph


def test_products_take_rows_where_they_end() -> None:
    arrays = arrays_of((10, 50, None))
    graph = compiled(graph_of((10, 50, None), arrays, []))
    assert counted(graph, "embedding") == []
    (gathers,) = [node.attrs["gathers"] for node in graph.nodes if "gathers" in node.attrs]
    assert len(gathers) == 2


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_rows_that_are_a_factor_too_are_taken_before(dtype: type) -> None:
    """Beside rows of another table, whose numbers choose what is wanted."""
    draw = np.random.default_rng(1)
    arrays = [draw.standard_normal(shape, np.float32) for shape in ((40, 64), (64, 64), (30, 64))]
    arrays += [draw.integers(0, rows, BATCH).astype(dtype) for rows in (40, 30)]

    def f(table: Tensor, weight: Tensor, other: Tensor, i: Tensor, j: Tensor) -> Tensor:
        x = engine.embedding(table, i)
        return (engine.linear(x, weight) + x).relu() * engine.embedding(other, j)

    def slope(table: Tensor, weight: Tensor, other: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return engine.sum(engine.embedding(other, j).relu() * (engine.embedding(table, i) @ weight))

    for graph_of_it in (
        lambda given: of_function(f, given),
        lambda given: simplify(differentiate(of_function(slope, given), [2])),
    ):
        graph, wide = compiled(simplify(graph_of_it(arrays))), widened(arrays)
        expected = interpreted(graph_of_it(wide), wide)
        for found, other in zip(run(graph, arrays), expected, strict=True):
            close(found, other)


def test_a_row_that_is_not_there_is_told_as_before() -> None:
    arrays = arrays_of((10, None))
    arrays[4][BATCH - 1] = 10
    graph = graph_of((10, None), arrays, [])
    with pytest.raises(IndexError) as expected:
        interpreted(graph, arrays)
    with pytest.raises(IndexError) as found:
        run(compiled(graph), arrays)
    assert str(found.value) == str(expected.value)

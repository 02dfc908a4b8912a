"""Matrix products: read where they lie or packed, whole or in two halves of depth."""

from itertools import product as pairs

import numpy as np
import pytest

import engine
from engine.backend.cpu.kernels import Kernel
from engine.backend.cpu.products import HALVED_DEPTH, fused_product, matmul
from engine.compile.plan import make_plan
from engine.ir.passes.fuse import fuse
from engine.tensor import Tensor
from tests.engine.backend.cpu.programs import close, interpreted, of_function, run, widened

LONG = HALVED_DEPTH + 77


def matrix(rows: int, columns: int, *, turned: bool, seed: int) -> np.ndarray:
    shape = (columns, rows) if turned else (rows, columns)
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def gradient(g: Tensor, x: Tensor) -> Tensor:
    """Of the weight of a linear layer: a sum over rows of both."""
    return engine.transpose(g, 0, 1) @ x


def kernel_of(rows: int, columns: int, depth: int) -> Kernel:
    given = [np.zeros((depth, rows), np.float32), np.zeros((depth, columns), np.float32)]
    (launch,) = make_plan(of_function(gradient, given)).launches
    found = matmul(launch)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1),
        (5, 3, 7),
        (9, 4, 32),
        (70, 2, 130),
        (12, 32, 256),
        (13, 33, 257),
        (64, 10, 64),
        (150, 12, 600),
        (67, 5, 35),
        (40, 47, 300),
        (70, 150, 530),
    ],
)
def test_any_of_both_may_be_turned(shape: tuple[int, int, int]) -> None:
    rows, columns, depth = shape
    for first, second in pairs((False, True), repeat=2):

        def f(a: Tensor, b: Tensor, first: bool = first, second: bool = second) -> Tensor:
            left = engine.transpose(a, 0, 1) if first else a
            return left @ (engine.transpose(b, 0, 1) if second else b)

        given = [
            matrix(rows, depth, turned=first, seed=1),
            matrix(depth, columns, turned=second, seed=2),
        ]
        (found,), wide = run(of_function(f, given), given), widened(given)
        close(found, interpreted(of_function(f, wide), wide)[0])


@pytest.mark.parametrize("shape", [(1, 1), (10, 128), (96, 64), (130, 50)])
@pytest.mark.parametrize("depth", [HALVED_DEPTH, LONG, 3 * LONG])
def test_halves_of_a_long_sum(shape: tuple[int, int], depth: int) -> None:
    given = [matrix(depth, size, turned=False, seed=size) for size in shape]
    graph, wide = of_function(gradient, given), widened(given)
    close(run(graph, given)[0], interpreted(of_function(gradient, wide), wide)[0])
    again = [np.ascontiguousarray(array[::-1]) for array in given]  # nothing is left of the first
    wide = widened(again)
    close(run(graph, again)[0], interpreted(of_function(gradient, wide), wide)[0])


def test_what_follows_a_product_follows_its_halves() -> None:
    def f(g: Tensor, x: Tensor, old: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        made = gradient(g, x)
        return (made + old * 0.5).relu(), made + bias

    given = [matrix(LONG, size, turned=False, seed=size) for size in (40, 24)]
    given += [matrix(40, 24, turned=False, seed=3), matrix(1, 24, turned=False, seed=4)]
    graph, wide = fuse(of_function(f, given)), widened(given)
    (launch,) = make_plan(graph).launches
    kernel = fused_product(launch)
    assert kernel is not None
    assert len(kernel.phases) == 2
    for found, expected in zip(
        run(graph, given), interpreted(of_function(f, wide), wide), strict=True
    ):
        close(found, expected)


def backward(g: Tensor, weight: Tensor, made: Tensor) -> Tensor:
    """Of what went into a linear layer behind ReLU."""
    return engine.where(made > 0.0, g @ weight, 0.0)


@pytest.mark.parametrize("shape", [(64, 128, 128), (37, 301, 133), (90, 110, 100), (1, 800, 700)])
def test_layers_wider_than_their_batch_share_the_sums_of_their_gradient(
    shape: tuple[int, int, int],
) -> None:
    rows, depth, columns = shape
    given = [matrix(m, n, turned=False, seed=m) for m, n in ((rows, depth), (depth, columns))]
    given.append(matrix(rows, columns, turned=False, seed=5))
    graph, wide = fuse(of_function(backward, given)), widened(given)
    kernels = [fused_product(x) for x in make_plan(graph).launches if x.name == "fused_product"]
    assert [len(kernel.phases) for kernel in kernels if kernel is not None] == [2]
    for _ in range(2):
        close(run(graph, given)[0], interpreted(of_function(backward, wide), wide)[0])


def test_broad_batches_do_not_share_them() -> None:
    given = [matrix(128, 128, turned=False, seed=n) for n in range(3)]
    graph = fuse(of_function(backward, given))
    (launch,) = [x for x in make_plan(graph).launches if x.name == "fused_product"]
    kernel = fused_product(launch)
    assert kernel is not None
    assert len(kernel.phases) == 1


def test_only_long_sums_of_few_results_are_halved() -> None:
    assert len(kernel_of(128, 512, 2048).phases) == 2
    assert len(kernel_of(128, 512, HALVED_DEPTH - 1).phases) == 1
    assert len(kernel_of(1024, 1024, HALVED_DEPTH).phases) == 1


def test_the_parts_of_one_half_come_before_those_of_the_other() -> None:
    """So threads, which take parts in order, read the rows that they have made."""
    first, last = kernel_of(128, 512, 2048).phases
    assert f"second = part / {first.parts // 2}" in first.body
    assert last.parts >= 1


def test_a_number_that_is_not_finite_stays_in_its_row_and_column() -> None:
    given = [matrix(LONG, size, turned=False, seed=size) for size in (20, 30)]
    given[0][LONG - 1, 3], given[1][0, 7] = np.inf, np.nan
    (found,) = run(of_function(gradient, given), given)
    odd = ~np.isfinite(found)
    assert odd[3].all()
    assert odd[:, 7].all()
    assert odd.sum() == 30 + 20 - 1

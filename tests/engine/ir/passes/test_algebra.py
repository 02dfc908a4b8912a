"""Identities that change no bit."""

from collections.abc import Callable

import pytest

import engine
from engine.ir.passes.algebra import reduce_algebra
from engine.ir.trace import trace
from engine.tensor import Tensor
from tests.engine.ir import programs as p


def left(function: Callable[[Tensor], Tensor], shape: tuple[int, ...] = (2, 3)) -> list[str]:
    graph = reduce_algebra(trace(function, *p.types([shape])))
    return [node.op.name for node in graph.nodes]


@pytest.mark.parametrize(
    "neutral",
    [
        lambda x: x * 1.0,
        lambda x: 1.0 * x,
        lambda x: x / 1.0,
        lambda x: x + -0.0,
        lambda x: -0.0 + x,
        lambda x: x - 0.0,
        lambda x: x.reshape(6).reshape(2, 3),
        lambda x: x.reshape(3, 2).reshape(6).reshape(2, 3),
        lambda x: x.transpose(0, 1).transpose(0, 1),
        lambda x: engine.expand(x, (2, 3)),
    ],
)
def test_what_changes_nothing_is_gone(neutral: Callable[[Tensor], Tensor]) -> None:
    assert left(lambda x: neutral(x).tanh()) == ["tanh"]


@pytest.mark.parametrize(
    "changing",
    [
        lambda x: x + 0.0,  # -0.0 becomes 0.0
        lambda x: x - -0.0,
        lambda x: 0.0 - x,
        lambda x: 1.0 / x,
        lambda x: x * 0.0,  # NaN stays NaN
        lambda x: x * engine.full(2, 1, 1, value=1.0),  # has another shape
    ],
)
def test_what_may_change_a_bit_stays(changing: Callable[[Tensor], Tensor]) -> None:
    assert len(left(lambda x: changing(x).tanh())) > 1


def test_reshapes_become_one_where_neither_copies() -> None:
    assert left(lambda x: x.reshape(6).reshape(3, 2).tanh()) == ["reshape", "tanh"]


def test_a_reshape_that_copies_is_not_skipped() -> None:
    def f(x: Tensor) -> Tensor:
        return x.transpose(0, 1).reshape(6).reshape(3, 2).tanh()

    assert left(f) == ["transpose", "reshape", "reshape", "tanh"]


def test_transposes_become_one() -> None:
    def f(x: Tensor) -> Tensor:
        return x.permute(1, 2, 0).permute(1, 2, 0).tanh()

    assert left(f, (2, 3, 4)) == ["transpose", "tanh"]


def test_scaling_a_transpose_by_one_stays_because_it_moves_memory() -> None:
    assert left(lambda x: (x.transpose(0, 1) * 1.0).tanh()) == ["transpose", "mul", "tanh"]

"""Recurrences in C over odd shapes, with padding, backwards, and through their gradients."""

from typing import Any

import numpy as np
import pytest

import engine
from engine.backend.recurrent import GRU, LSTM, Plain
from engine.compile.plan import make_plan
from engine.ops.recurrent import recurrent
from engine.ops.registry import OPS
from engine.tensor import Tensor
from tests.engine.backend.cpu import programs as p
from tests.engine.backend.cpu.test_emitters import agree

CELLS = {"rnn_tanh": Plain("tanh"), "rnn_relu": Plain("relu"), "gru": GRU(), "lstm": LSTM()}
#: batch, steps, features, hidden
SHAPES = [(1, 1, 1, 1), (3, 2, 5, 17), (2, 7, 9, 33), (50, 3, 6, 40), (21, 2, 70, 150)]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def drawn(kind: str, shape: tuple[int, ...]) -> list[np.ndarray]:
    """x, the first states, the weights and the biases."""
    batch, steps, features, hidden = shape
    cell = CELLS[kind]
    wide = cell.blocks * hidden
    root = np.float32(hidden**-0.5)
    return [
        numbers(batch, steps, features),
        *[numbers(batch, hidden, seed=1 + i) for i in range(cell.states)],
        numbers(wide, features, seed=3) * root, numbers(wide, hidden, seed=4) * root,
        numbers(wide, seed=5), numbers(wide, seed=6),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_and_its_gradients(kind: str, shape: tuple[int, ...]) -> None:
    states = CELLS[kind].states
    lengths = np.random.default_rng(0).integers(0, shape[1] + 1, shape[0])

    def f(*given: Tensor) -> list[Tensor]:
        ends, inputs, found = given[-1], list(given[:-1]), []
        for reverse, some in ((False, None), (True, ends)):
            for x in inputs:
                x.requires_grad = True
            y, last = recurrent(
                kind, inputs[0], tuple(inputs[1 : 1 + states]), tuple(inputs[1 + states :]),
                lengths=some, reverse=reverse,
            )  # fmt: skip
            score = (y * y.cos()).sum() + sum((s * s.sin()).sum() for s in last)
            assert isinstance(score, Tensor)
            found += [y, *last, *[g for g in engine.autograd.grad(score, inputs) if g is not None]]
        return found

    agree(f, *drawn(kind, shape), lengths, tolerance=3e-5)


@pytest.mark.parametrize("kind", CELLS)
def test_the_flow_lies_where_the_gates_were_kept(kind: str) -> None:
    inputs = drawn(kind, (3, 4, 2, 5))
    states = CELLS[kind].states
    before, kept, *cells = OPS[kind].ref(*inputs, reverse=False)[1 + states :]
    looked = {"gru": (before,), "lstm": (inputs[2], *cells)}.get(kind, ())
    given = [numbers(3, 4, 5), *inputs[1 : 1 + states], inputs[2 + states], kept, *looked]
    graph = p.of_op(f"{kind}_grad", given, reverse=False)
    (launch,) = make_plan(graph).launches
    assert launch.outputs[0].place in [slot.place for slot in launch.inputs]
    p.check(f"{kind}_grad", given, reverse=False)


def test_what_lies_in_memory_otherwise_is_read() -> None:
    x, *rest = drawn("lstm", (5, 6, 3, 7))

    def f(x: Tensor, *given: Tensor) -> Any:
        states, weights = given[:2], given[2:]
        y, last = recurrent("lstm", x.transpose(0, 1), states, weights)
        return [y.transpose(0, 1), *last]

    agree(f, np.ascontiguousarray(x.swapaxes(0, 1)), *rest)


def test_doubles_run_by_their_reference() -> None:
    wide = p.widened(drawn("gru", (3, 4, 2, 5)))
    attrs = {"reverse": False}
    graph = p.of_op("gru", wide, **attrs)
    for one, other in zip(p.run(graph, wide, whole=False), p.interpreted(graph, wide), strict=True):
        np.testing.assert_array_equal(one, other)

"""Layers over sequences: what they refuse, what they take of positions, and that they learn."""

from typing import Any

import numpy as np
import pytest

from engine.compile import Inference
from spec.build import build
from spec.data.prepare import prepare
from spec.data.tables import texts
from spec.inputs import Entry
from spec.jobs import parse
from spec.layers import Signal
from tests.spec.layers.test_layers import assembled, numbers
from tests.spec.tables import table


@pytest.mark.parametrize(
    ("item", "shape", "wanted", "hint"),
    [
        ({"attention": 3}, (5, 8), "3 heads must divide 8 features", "use heads: 2"),
        ({"transformer": 2}, (8,), "wants a sequence [positions, features]", "`embedding`"),
        ({"positions": "waves"}, (4, 6, 6), "wants a sequence", "`reshape`"),
        ("sequence_pool", (8,), "wants a sequence", "`embedding`"),
        (
            {"attention": {"heads": 4, "kv_heads": 3}},
            (5, 8),
            "kv_heads: 3 must divide heads: 4",
            "leave kv_heads out",
        ),
        ({"attention": {"heads": 8, "rotary": True}}, (5, 8), "rotary wants an even", "rotary:"),
    ],
)
def test_an_input_that_does_not_fit_is_a_problem_with_a_fix(
    item: Any, shape: tuple[int, ...], wanted: str, hint: str
) -> None:
    (problem,) = assembled(item, entry=Entry(Signal(shape))).problems
    assert problem.pointer == "/model/layers/0"
    assert wanted in (problem.expected or "")
    assert hint in (problem.hint or "")


@pytest.mark.parametrize(
    ("how", "of"),
    [("mean", lambda x: x.mean(1)), ("max", lambda x: x.max(1)),
     ("first", lambda x: x[:, 0]), ("last", lambda x: x[:, -1])],
)  # fmt: skip
def test_a_sequence_becomes_a_vector(how: str, of: Any) -> None:
    found = assembled({"sequence_pool": how}, entry=Entry(Signal((5, 8))))
    assert found.network is not None
    x = numbers(3, 5, 8)
    np.testing.assert_allclose(Inference(found.network)({"x": x}), of(x), rtol=1e-6)


def test_a_transformer_learns_what_no_single_word_tells() -> None:
    """Which of two words comes first: the columns are a sequence of codes."""
    draw = np.random.default_rng(0)
    words = np.stack([draw.permutation(4) for _ in range(400)]).astype(np.int32)
    first = np.argmax(words == 0, 1) < np.argmax(words == 1, 1)
    columns = {f"word_{i}": texts(["a", "b", "c", "d"], words[:, i]) for i in range(4)}
    columns["label"] = texts(["later", "sooner"], first.astype(np.int32))
    spec = parse(
        {
            "name": "order",
            "data": {
                "dataset": "order",
                "inputs": {"text": {"type": "category", "columns": "word_*"}},
                "target": {"type": "category", "column": "label"},
            },
            "model": {
                "layers": [
                    {"embedding": 16},
                    "positions",
                    {"transformer": {"heads": 2, "hidden": 32}},
                    "sequence_pool",
                    {"linear": 2},
                ]
            },
            "train": {"epochs": 12, "batch_size": 20, "optimizer": {"name": "adam", "lr": 0.01}},
        }
    )
    training = build(spec, prepare(table(columns), spec.data, seed=0))
    while not training.done:
        for _ in training.epoch():
            pass
        metrics = training.end_epoch()
    assert metrics["validation/accuracy"] > 0.95

"""Networks put together from layers, graphs and several inputs compute what they say."""

from typing import Any

import numpy as np
from hypothesis import given, settings, strategies as st

from engine.compile import Inference
from spec.assembly import Assembly, assemble
from spec.inputs import Entry
from spec.jobs import parse
from spec.layers import Signal
from spec.models import ModelSpec
from spec.plan import plan
from tests.spec.specs import digits
from tests.spec.tables import DIGITS

CODES = np.dtype("int64")


def assembled(model: dict[str, Any], **entries: Entry) -> Assembly:
    return assemble(ModelSpec.model_validate(model), entries, 1)


def outputs(found: Assembly, **inputs: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    assert found.network is not None, found.problems
    network = found.network.init(1)
    return Inference(network)(inputs), network.state_dict()


def test_several_inputs_are_put_end_to_end_in_their_order() -> None:
    found = assembled(
        {"layers": [{"linear": 2}]},
        job=Entry(Signal((), CODES, 5), embedding=3),
        size=Entry(Signal((2,))),
        day=Entry(Signal((), CODES, 4)),
    )
    job, size, day = np.array([4, 0]), np.ones((2, 2), np.float32), np.array([3, 1])
    output, weights = outputs(found, job=job, size=size, day=day)
    joined = np.concatenate(
        [weights["inputs.job.weight"][job], size, np.eye(4, dtype=np.float32)[day]], axis=1
    )
    expected = joined @ weights["layers.0.weight"].T + weights["layers.0.bias"]
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


def test_a_vector_of_codes_becomes_a_vector_of_vectors_end_to_end() -> None:
    found = assembled(
        {"layers": [{"linear": 2}]}, squares=Entry(Signal((3,), CODES, 4), embedding=2)
    )
    codes = np.array([[0, 3, 1]])
    output, weights = outputs(found, squares=codes)
    joined = weights["inputs.squares.0.weight"][codes].reshape(1, 6)
    expected = joined @ weights["layers.0.weight"].T + weights["layers.0.bias"]
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


def test_a_single_category_goes_to_an_embedding_as_codes() -> None:
    found = assembled({"layers": [{"embedding": 3}]}, job=Entry(Signal((), CODES, 5)))
    output, weights = outputs(found, job=np.array([2, 4]))
    np.testing.assert_array_equal(output, weights["layers.0.weight"][[2, 4]])


def test_a_graph_computes_what_it_says() -> None:
    nodes = {
        "out": {"multiply": ["total", "size"]},
        "total": {"add": ["a", "b", "size"]},
        "a": {"linear": 2, "from": "size"},
        "b": {"linear": 2, "from": "both"},
        "both": {"concat": ["size", "vector"]},
        "vector": {"embedding": 3, "from": "job"},
    }
    found = assembled(
        {"graph": {"nodes": nodes, "output": "out"}},
        size=Entry(Signal((2,))),
        job=Entry(Signal((), CODES, 5)),
    )
    size, job = np.array([[0.5, -1]], np.float32), np.array([3])
    output, weights = outputs(found, size=size, job=job)

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"nodes.{name}.weight"].T + weights[f"nodes.{name}.bias"]

    both = np.concatenate([size, weights["nodes.vector.weight"][job]], axis=1)
    expected = (linear("a", size) + linear("b", both) + size) * size
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


def test_a_problem_of_a_graph_stands_at_its_node() -> None:
    nodes = {
        "a": {"linear": 2, "from": "size"},
        "b": {"linear": 3, "from": "size"},
        "out": {"add": ["a", "b"]},
    }
    found = assembled({"graph": {"nodes": nodes, "output": "out"}}, size=Entry(Signal((2,))))
    (problem,) = found.problems
    assert (problem.pointer, problem.code) == ("/model/graph/nodes/out", "misfit")
    assert problem.got == "[2], [3]"


def test_codes_do_not_go_into_a_concat() -> None:
    nodes = {"out": {"concat": ["size", "job"]}}
    found = assembled(
        {"graph": {"nodes": nodes, "output": "out"}},
        size=Entry(Signal((2,))),
        job=Entry(Signal((), CODES, 5)),
    )
    (problem,) = found.problems
    assert "embedding" in (problem.hint or "")


def test_pointers_into_nested_layers_follow_the_way_they_were_written() -> None:
    wide = {"linear": 3}
    for written, place in [
        ({"residual": ["relu", wide]}, "/model/layers/0/residual/1"),
        ({"residual": {"layers": ["relu", wide]}}, "/model/layers/0/residual/layers/1"),
    ]:
        found = assembled({"layers": [written]}, image=Entry(Signal((1, 8, 8))))
        assert [one.pointer for one in found.problems] == [place]


WIDTHS = st.integers(1, 9)
SAME = st.builds(lambda n: {"conv2d": {"out_channels": n, "padding": "same"}}, WIDTHS)
ON_IMAGES = st.one_of(
    SAME,
    SAME.map(lambda item: {"residual": [item, "relu"]}),
    st.builds(lambda n, k: {"conv2d": {"out_channels": n, "kernel_size": k}}, WIDTHS, WIDTHS),
    st.builds(lambda n: {"max_pool2d": n}, st.integers(1, 3)),
    st.sampled_from(["relu", "batch_norm", "layer_norm", {"dropout": 0.1}, {"linear": 4}]),
)
ON_VECTORS = st.one_of(
    st.builds(lambda n: {"linear": n}, WIDTHS),
    st.builds(lambda n: {"residual": [{"linear": n}, "tanh"]}, WIDTHS),
    st.sampled_from(["gelu", "batch_norm", "rms_norm", {"dropout": 0.1}, {"conv2d": 4}]),
)
MODELS = st.builds(
    lambda first, second: [*first, "flatten", *second],
    st.lists(ON_IMAGES, max_size=4),
    st.lists(ON_VECTORS, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(MODELS)
def test_what_is_foretold_is_what_is_built_or_a_problem_is_told(items: list[Any]) -> None:
    entry = Entry(Signal((1, 8, 8)))
    found = assembled({"layers": [*items, {"linear": 3}]}, image=entry)
    assert (found.network is None) == bool(found.problems)
    if found.network is None:
        assert all(one.pointer.startswith("/model/layers/") for one in found.problems)
        return
    assert found.network.num_parameters() == sum(line.parameters for line in found.lines)
    output, _ = outputs(found, image=np.zeros((2, 1, 8, 8), np.float32))
    assert output.shape == (2, 3)
    assert [line.output_shape for line in found.lines][-1] == [3]


@settings(max_examples=20, deadline=None)
@given(MODELS)
def test_a_plan_is_made_for_whatever_fits(items: list[Any]) -> None:
    document = {"layers": [*items, {"linear": 10}]}
    found = assembled(document, image=Entry(Signal((1, 8, 8))))
    if found.problems:
        return
    made = plan(parse(digits(model=document)), DIGITS)
    assert made.parameters == sum(line.parameters for line in found.lines)
    assert made.bytes.weights >= 4 * made.parameters
    assert made.bytes.optimizer == 8 * made.parameters
    assert made.flops_per_step > 0

"""A job spec is read whole: what is right comes back the same, what is wrong is named at once."""

import time
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from core.errors import Invalid, Problem
from gradworks.demo import SPEC as DEMO
from spec.jobs import JobSpec, parse
from tests.spec.specs import digits, layers, people, train


def problems(document: Any) -> list[Problem]:
    with pytest.raises(Invalid) as refused:
        parse(document)
    return list(refused.value.problems)


def only(document: Any) -> Problem:
    (found,) = problems(document)
    return found


GOOD = [
    digits(),
    people(),
    DEMO,
    digits(model={"blueprint": "mlp"}),
    digits(model={"blueprint": {"name": "convnet", "channels": 16, "hidden": [32]}}),
    layers({"conv2d": {"out_channels": 4, "padding": "same"}}, {"max_pool2d": 2}, "flatten"),
    layers({"residual": [{"conv2d": 3}, "relu"]}, {"sequential": {"layers": ["tanh"]}}),
    layers({"squeeze_excite": 4}, {"dropout": 0}, {"reshape": [64]}, {"batch_norm": None}),
    train(loss="cross_entropy", optimizer="sgd", schedule="cosine", steps=100),
    train(epochs=None, steps=5, optimizer={"name": "sgd", "nesterov": True, "momentum": 0.5}),
    digits(model={"layers": ["relu"], "graph": None, "blueprint": None}),
    train(loss={"name": "huber"}, optimizer={"lr": 1}, early_stopping={}, clip_norm=1),
    people(
        model={
            "graph": {
                "nodes": {
                    "out": {"linear": {"out_features": 1}, "from": "both"},
                    "both": {"concat": ["h", "size"]},
                    "h": {"embedding": 4, "from": "job"},
                },
                "output": "out",
            }
        }
    ),
]


@pytest.mark.parametrize("document", GOOD)
def test_the_normal_form_is_read_as_the_same_spec(document: dict[str, Any]) -> None:
    spec = parse(document)
    assert parse(spec.document()) == spec
    assert parse(spec.document()).document() == spec.document()


def test_defaults_are_filled_in() -> None:
    document = parse(digits()).document()
    assert document["train"]["loss"] == {"name": "cross_entropy", "label_smoothing": 0.0}
    assert document["train"]["epochs"] == 10
    assert document["train"]["optimizer"]["lr"] == 0.001
    assert document["data"]["split"]["test"] == 0.1
    assert document["resources"]["max_attempts"] == 5
    assert document["model"]["layers"][1] == {"linear": {"out_features": 16, "bias": True}}


def test_the_loss_follows_from_the_target() -> None:
    assert parse(people()).train.loss.name == "mse"
    assert parse(digits()).train.loss.name == "cross_entropy"


def test_steps_leave_no_room_for_default_epochs() -> None:
    spec = parse(train(steps=5))
    assert (spec.train.steps, spec.train.epochs) == (5, None)


def test_yaml_and_json_texts_are_read() -> None:
    text = """
name: digits
data:
  dataset: digits
  inputs: {image: {type: image, columns: "pixel_*", shape: [1, 8, 8], scale: 16}}
  target: {type: category, column: label}
model: {layers: [flatten, linear: 16, relu, linear: 10]}
train: {optimizer: {lr: 1e-3}}
"""
    assert parse(text) == parse(train(optimizer={"lr": 0.001}))


def test_every_problem_is_reported_at_once() -> None:
    document = digits(
        nam="x",
        model={"layers": ["rellu", {"linear": "wide"}, {"linear": {"out_feature": 3}}]},
        train={"batch_size": 0, "epochs": 2, "steps": 3, "clip_norm": float("nan")},
    )
    assert {(p.pointer, p.code) for p in problems(document)} == {
        ("/nam", "unknown_field"),
        ("/model/layers/0", "unknown_name"),
        ("/model/layers/1/linear", "wrong_type"),
        ("/model/layers/2/linear/out_features", "missing"),
        ("/model/layers/2/linear/out_feature", "unknown_field"),
        ("/train/batch_size", "out_of_range"),
        ("/train/steps", "conflict"),
        ("/train/clip_norm", "not_finite"),
    }


@pytest.mark.parametrize(
    ("document", "pointer", "hint"),
    [
        (digits(modle={}), "/modle", "did you mean model?"),
        (train(optimizer="adamm"), "/train/optimizer", "did you mean adam?"),
        (train(optimizer={"name": "SGD"}), "/train/optimizer/name", "did you mean sgd?"),
        (train(optimizer={"learning": 1}), "/train/optimizer/learning", None),
        (train(optimizer={"name": "sgd", "momentun": 0}), None, "did you mean momentum?"),
        (train(loss="crossentropy"), "/train/loss", "did you mean cross_entropy?"),
        (train(schedule="cosin"), "/train/schedule", "did you mean cosine?"),
        (train(precision="float16"), "/train/precision", "did you mean float32?"),
        (layers("ReLu6"), "/model/layers/0", "did you mean relu6?"),
        (layers({"Conv-2D": 3}), "/model/layers/0/Conv-2D", "did you mean conv2d?"),
        (digits(model={"blueprint": "covnet"}), "/model/blueprint", "did you mean convnet?"),
        (
            digits(model={"blueprint": {"name": "mlp", "activation": "rel"}}),
            "/model/blueprint/activation",
            "did you mean relu?",
        ),
        (
            layers({"residual": {"layers": ["relu"], "shortcut": "project"}}),
            "/model/layers/0/residual/shortcut",
            "did you mean projection?",
        ),
    ],
)
def test_near_names_are_suggested(document: Any, pointer: str | None, hint: str | None) -> None:
    found = only(document)
    assert found.hint == hint
    assert pointer is None or found.pointer == pointer


@pytest.mark.parametrize(
    ("item", "place", "code"),
    [
        (3, "", "wrong_type"),
        ({}, "", "wrong_type"),
        ({"linear": 4, "bias": False}, "", "one_layer"),
        ({"type": "linear", "out_features": 4}, "", "one_layer"),
        ({"type": "linear"}, "/type", "unknown_name"),
        ("linear", "/out_features", "missing"),
        ({"linear": None}, "/linear/out_features", "missing"),
        ({"linear": True}, "/linear", "wrong_type"),
        ({"linear": [4]}, "/linear", "wrong_type"),
        ({"linear": 2**60}, "/linear", "out_of_range"),
        ({"linear": -1}, "/linear", "out_of_range"),
        ({"linear": {"out_features": 4, "bias": 1}}, "/linear/bias", "wrong_type"),
        ({"relu": 4}, "/relu", "wrong_type"),
        ({"dropout": 1.0}, "/dropout", "out_of_range"),
        ({"concat": ["a", "b"]}, "/concat", "misplaced"),
        ({"conv2d": {"out_channels": 4, "padding": -1}}, "/conv2d/padding", "out_of_range"),
        ({"conv2d": {"out_channels": 4, "padding": "x"}}, "/conv2d/padding", "unknown_name"),
        ({"conv2d": {"out_channels": 4, "padding": {}}}, "/conv2d/padding", "wrong_type"),
        (
            {"conv2d": {"out_channels": 4, "kernel_size": [3, 0]}},
            "/conv2d/kernel_size/1",
            "out_of_range",
        ),
        (
            {"conv2d": {"out_channels": 4, "kernel_size": [3, 3, 3]}},
            "/conv2d/kernel_size",
            "wrong_length",
        ),
        ({"residual": ["relu", {"linear": -1}]}, "/residual/1/linear", "out_of_range"),
        (
            {"residual": {"layers": [{"sequential": ["tanhh"]}]}},
            "/residual/layers/0/sequential/0",
            "unknown_name",
        ),
        ({"reshape": [4, 0]}, "/reshape/1", "out_of_range"),
    ],
)
def test_a_wrong_layer_is_one_problem_at_its_place(item: Any, place: str, code: str) -> None:
    found = only(layers("flatten", item))
    assert (found.pointer, found.code) == (f"/model/layers/1{place}", code)


@pytest.mark.parametrize(
    ("node", "place", "code"),
    [
        ("relu", "", "wrong_type"),
        ({"from": "image"}, "", "one_layer"),
        ({"linear": 4, "frm": "image"}, "", "one_layer"),
        ({"linear": 4}, "/from", "missing"),
        ({"linear": 4, "from": ["image"]}, "/from", "wrong_type"),
        ({"linear": "x", "from": "image"}, "/linear", "wrong_type"),
        ({"linaer": 4, "from": "image"}, "/linaer", "unknown_name"),
        ({"concat": ["image"]}, "/concat", "wrong_length"),
        ({"concat": "image"}, "/concat", "wrong_type"),
        ({"concat": ["image", 3]}, "/concat", "wrong_type"),
        ({"concat": ["image", "image"], "from": "image"}, "/from", "conflict"),
        ({"concat": {"axis": -1}, "from": ["image", "image"]}, "/concat/axis", "out_of_range"),
    ],
)
def test_a_wrong_node_is_one_problem_at_its_place(node: Any, place: str, code: str) -> None:
    document = digits(model={"graph": {"nodes": {"n": node}, "output": "n"}})
    found = only(document)
    assert (found.pointer, found.code) == (f"/model/graph/nodes/n{place}", code)


def test_exactly_one_way_to_give_a_model() -> None:
    assert only(digits(model={})).pointer == "/model"
    both = only(digits(model={"layers": ["relu"], "blueprint": "mlp"}))
    assert (both.pointer, both.code) == ("/model/blueprint", "conflict")
    assert parse(digits(model={"layers": ["relu"], "graph": None})).model.graph is None


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", 5, None])
def test_a_bad_name(name: Any) -> None:
    assert only(digits(name=name)).pointer == "/name"


@pytest.mark.parametrize("document", [[], None, 3, "x", b"[]", "- a"])
def test_a_document_that_is_no_mapping(document: Any) -> None:
    assert only(document).code == "wrong_type"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", 100_001),
        ("epochs", 1.5),
        ("epochs", "10"),
        ("steps", 2**40),
        ("batch_size", True),
        ("batch_size", 2**21),
        ("seed", -1),
        ("seed", 2**63),
        ("accumulate", 65),
        ("clip_norm", 0),
        ("optimizer", {"lr": 0}),
        ("optimizer", {"lr": 1001}),
        ("optimizer", {"betas": [0.9]}),
        ("optimizer", {"betas": [0.9, 1.0]}),
        ("early_stopping", {"patience": 0}),
        ("early_stopping", {"metric": "loss"}),
        ("checkpoint", {"keep": 0}),
        ("schedule", {"name": "cosine", "warmup_steps": -1}),
    ],
)
def test_numbers_of_training_have_bounds(field: str, value: Any) -> None:
    assert only(train(**{field: value})).pointer.startswith(f"/train/{field}")


def test_a_wrong_union_of_types_is_one_problem() -> None:
    document = digits()
    document["data"]["inputs"]["image"]["columns"] = 3
    found = only(document)
    assert (found.pointer, found.expected) == ("/data/inputs/image/columns", "text or a list")


def test_an_item_inside_a_union_is_the_only_problem() -> None:
    document = digits()
    document["data"]["inputs"]["image"]["columns"] = ["a", 3]
    assert only(document).pointer == "/data/inputs/image/columns/1"


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["relu", "linear", "adam", "mlp", "image", "category", "layers", "cosine"])
)
KEYS = st.text(max_size=5) | st.sampled_from(
    ["name", "data", "model", "train", "layers", "graph", "nodes", "output", "from", "linear",
     "blueprint", "conv2d", "optimizer", "lr", "type", "inputs", "target", "split", "concat"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def outcome(document: Any) -> JobSpec | list[Problem]:
    try:
        return parse(document)
    except Invalid as refusal:
        return list(refusal.problems)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_any_json_is_refused_with_problems_that_can_be_sent(document: Any) -> None:
    found = outcome(document)
    assert isinstance(found, list)
    assert found
    for problem in found:
        assert problem.pointer == "" or problem.pointer.startswith("/")
        str(problem).encode()


PLACES = ["/data/inputs/image", "/data/target", "/data/split", "/model/layers/1", "/train",
          "/train/optimizer", "/train/schedule", "/train/loss", "/model", "/resources"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), VALUES)
def test_a_part_replaced_by_any_json_is_read_or_refused_there(place: str, value: Any) -> None:
    document = parse(digits()).document()
    *path, last = place.strip("/").split("/")
    holder: Any = document
    for step in path:
        holder = holder[step]
    holder[int(last) if isinstance(holder, list) else last] = value
    found = outcome(document)
    if isinstance(found, JobSpec):
        assert parse(found.document()) == found
    else:
        assert all(problem.pointer.startswith(place) for problem in found)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_refused_with_problems(text: str) -> None:
    assert isinstance(outcome(text), list)


def test_the_spec_cannot_be_changed_afterwards() -> None:
    spec = parse(digits())
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"


def seconds_and_problems(document: Any) -> tuple[float, list[Problem]]:
    begun = time.process_time()
    found = problems(document)
    return time.process_time() - begun, found


def wrong(count: int) -> list[str]:
    return [f"l{n}" for n in range(count)]


@pytest.mark.parametrize(
    "document",
    [
        digits(**dict.fromkeys(wrong(100_000), 1)),
        layers(*wrong(150_000)),
        layers(*[{"residual": wrong(1000)} for _ in range(150)]),
        layers(*[{"residual": [{"residual": wrong(10)} for _ in range(100)]} for _ in range(100)]),
        digits(model={"graph": {"nodes": {n: {"relu": 1} for n in wrong(1000)}, "output": "x"}}),
        digits(data={"inputs": {n: dict.fromkeys(wrong(100), 1) for n in wrong(900)}}),
    ],
)
def test_a_document_of_many_faults_is_refused_in_bounded_time_and_words(document: Any) -> None:
    spent, found = seconds_and_problems(document)
    assert spent < 3
    assert len(found) <= 101


def test_it_is_said_that_there_are_more_problems() -> None:
    found = problems(layers(*wrong(300)))
    assert [one.code for one in found] == ["unknown_name"] * 100 + ["more"]
    assert [one.code for one in problems(layers(*wrong(100)))] == ["unknown_name"] * 100

"""The plan tells what a job will be and cost, and every problem at its place, at once."""

import json
import time
import tracemalloc
from typing import Any

import pytest

from core.errors import Invalid, Problem
from core.settings import Settings
from spec.jobs import parse
from spec.limits import Limits
from spec.plan import Plan, plan
from tests.spec.specs import digits, layers, people, train
from tests.spec.tables import DIGITS, PEOPLE

CONV = {"conv2d": {"out_channels": 8, "padding": "same"}}


def planned(document: dict[str, Any], limits: Limits | None = None) -> Plan:
    spec = parse(document)
    return plan(spec, PEOPLE if spec.name == "people" else DIGITS, limits=limits)


def problems(document: dict[str, Any], limits: Limits | None = None) -> list[Problem]:
    with pytest.raises(Invalid) as refused:
        planned(document, limits)
    return list(refused.value.problems)


def only(document: dict[str, Any], limits: Limits | None = None) -> Problem:
    (found,) = problems(document, limits)
    return found


def test_every_layer_is_told() -> None:
    found = planned(layers(CONV, "relu", {"max_pool2d": 2}, "flatten", {"linear": 10}))
    assert [(one.path, one.kind, one.output_shape, one.parameters) for one in found.layers] == [
        ("/model/layers/0", "conv2d", [8, 8, 8], 80),
        ("/model/layers/1", "relu", [8, 8, 8], 0),
        ("/model/layers/2", "max_pool2d", [8, 4, 4], 0),
        ("/model/layers/3", "flatten", [128], 0),
        ("/model/layers/4", "linear", [10], 1290),
    ]
    assert found.parameters == 1370
    assert found.layers[0].flops >= 2 * 9 * 8 * 64
    assert found.layers[4].flops >= 2 * 128 * 10
    assert found.inputs == {"image": [1, 8, 8]}
    assert found.output_shape == [10]


def test_rows_and_steps() -> None:
    found = planned(train(epochs=3, batch_size=32))
    assert (found.rows.train, found.rows.validation, found.rows.test) == (1437, 180, 180)
    assert found.steps_per_epoch == 1437 // 32
    assert found.total_steps == 3 * found.steps_per_epoch
    assert found.epochs == 3


def test_steps_in_place_of_epochs() -> None:
    found = planned(train(steps=100, batch_size=64))
    assert (found.total_steps, found.steps_per_epoch, found.epochs) == (100, 22, 5)


def test_accumulation_takes_less_memory_for_the_same_steps() -> None:
    whole, parts = planned(train(batch_size=512)), planned(train(batch_size=512, accumulate=8))
    assert parts.steps_per_epoch == whole.steps_per_epoch
    assert parts.bytes.activations < whole.bytes.activations


def test_the_plan_is_json_both_ways() -> None:
    found = planned(digits(model={"blueprint": "convnet"}))
    assert Plan.from_json(json.loads(json.dumps(found.document()))) == found


def test_a_blueprint_is_shown_as_layers_that_give_the_same_plan() -> None:
    found = planned(digits(model={"blueprint": {"name": "convnet", "channels": [8, 16]}}))
    again = planned(digits(model=found.model))
    assert [one.kind for one in found.layers[:4]] == ["conv2d", "batch_norm", "relu", "max_pool2d"]
    assert again.parameters == found.parameters
    assert again.bytes == found.bytes
    assert all(one.path == "/model/blueprint" for one in found.layers)


def test_a_table_of_numbers_and_categories() -> None:
    found = planned(people())
    assert [(one.path, one.kind, one.output_shape) for one in found.layers[:3]] == [
        ("/data/inputs/job", "embedding", [3]),
        ("/data/inputs", "join", [5]),
        ("/model/layers/0", "linear", [8]),
    ]
    assert found.output_shape == [1]


def test_a_graph() -> None:
    nodes = {
        "out": {"linear": 1, "from": "both"},
        "both": {"concat": ["h", "size", "job"]},
        "h": {"linear": 4, "from": "size"},
    }
    found = planned(people(model={"graph": {"nodes": nodes, "output": "out"}}))
    assert [one.name for one in found.layers] == ["job", "h", "both", "out"]
    assert found.layers[2].output_shape == [9]


# What does not fit


def test_an_image_into_a_linear_layer() -> None:
    found = only(layers(CONV, {"linear": 10}))
    assert (found.pointer, found.code) == ("/model/layers/1", "misfit")
    assert found.detail == "input is [8, 8, 8]; linear wants a flat vector"
    assert found.hint == "put `flatten` before it"


def test_checking_goes_on_after_a_layer_that_does_not_fit() -> None:
    found = problems(layers({"linear": 16}, CONV, "flatten", {"linear": 12}))
    assert [one.pointer for one in found] == [
        "/model/layers/0",
        "/model/layers/1",
        "/model/layers/3",
    ]
    assert found[1].detail == "input is [16]; conv2d wants [channels, height, width]"


@pytest.mark.parametrize(
    ("items", "place", "words"),
    [
        (["flatten", {"conv2d": 4}], "/model/layers/1", "wants [channels, height, width]"),
        (["flatten", {"max_pool2d": 2}], "/model/layers/1", "wants [channels, height, width]"),
        ([{"conv1d": 4}], "/model/layers/0", "wants [channels, length]"),
        ([{"max_pool2d": 9}], "/model/layers/0", "larger"),
        ([{"conv2d": {"out_channels": 4, "kernel_size": 9}}], "/model/layers/0", "larger"),
        ([{"conv2d": {"out_channels": 4, "groups": 2}}], "/model/layers/0", "must divide"),
        ([{"group_norm": 3}], "/model/layers/0", "must divide"),
        ([{"embedding": 4}], "/model/layers/0", "wants codes of categories"),
        (["one_hot"], "/model/layers/0", "wants codes of categories"),
        ([{"embedding_bag": 4}], "/model/layers/0", "wants codes of categories"),
        (["flatten", {"lstm": 4}], "/model/layers/1", "wants a sequence [positions, features]"),
        ([{"reshape": [3, 3]}], "/model/layers/0", "9 numbers, not 64"),
        (["flatten", "global_avg_pool"], "/model/layers/1", "channels and more axes"),
        (["flatten", {"softmax": 2}], "/model/layers/1", "axis"),
        (
            [{"residual": {"layers": [{"conv2d": 4}], "shortcut": "identity"}}],
            "/model/layers/0",
            "same shape",
        ),
        (["flatten", {"residual": [{"conv2d": 4}]}], "/model/layers/1/residual/0", "conv2d wants"),
        (
            [{"residual": {"layers": ["flatten", {"linear": 3}]}}],
            "/model/layers/0",
            "no projection",
        ),
    ],
)
def test_a_layer_that_does_not_fit(items: list[Any], place: str, words: str) -> None:
    found = problems(layers(*items))[0]
    assert (found.pointer, found.code) == (place, "misfit")
    assert words in found.detail


def test_too_few_outputs_for_the_classes() -> None:
    found = only(layers("flatten", {"linear": 8}))
    assert (found.pointer, found.code) == ("/model/layers/1", "wrong_output")
    assert found.detail == "the model's output is [8]; the target has 10 classes"
    assert found.hint == "end with linear: 10"


def test_a_number_wants_one_output() -> None:
    found = only(people(model={"layers": [{"linear": 4}]}))
    assert (found.pointer, found.expected) == ("/model/layers/0", "[1]")


def test_a_wrong_output_of_a_graph_points_to_its_node() -> None:
    nodes = {"f": {"flatten": None, "from": "image"}, "out": {"linear": 3, "from": "f"}}
    found = only(digits(model={"graph": {"nodes": nodes, "output": "out"}}))
    assert (found.pointer, found.code) == ("/model/graph/nodes/out", "wrong_output")


def test_a_convnet_wants_an_image() -> None:
    found = only(people(model={"blueprint": "convnet"}))
    assert (found.pointer, found.code) == ("/model/blueprint/name", "misfit")


def test_a_model_without_weights() -> None:
    found = problems(layers("flatten", "relu"))
    assert ("/model", "nothing_to_learn") in [(one.pointer, one.code) for one in found]


def test_data_model_and_training_are_told_together() -> None:
    document = digits(
        model={"layers": [CONV, {"linear": 9}]},
        train={"loss": "mse", "schedule": {"name": "cosine", "warmup_steps": 10_000}},
    )
    document["data"]["inputs"]["extra"] = {"type": "number", "column": "height"}
    found = {(one.pointer, one.code) for one in problems(document)}
    assert ("/data/inputs/extra/column", "unknown_column") in found
    assert ("/train/loss", "misfit") in found
    assert ("/model/layers/1", "wrong_output") in found


def test_text_in_a_number_column() -> None:
    document = people()
    document["data"]["inputs"]["job"] = {"type": "number", "column": "job"}
    found = only(document)
    assert found.pointer == "/data/inputs/job/column"
    assert (found.code, found.hint) == ("not_a_number", "use type: category")


def test_an_image_beside_other_inputs_needs_a_graph() -> None:
    document = digits()
    document["data"]["inputs"]["first"] = {"type": "number", "column": "pixel_0"}
    found = only(document)
    assert (found.pointer, found.code) == ("/data/inputs/image", "misfit")
    assert "graph" in (found.hint or "")


# Training beside the data


@pytest.mark.parametrize(
    ("fields", "place", "code"),
    [
        ({"loss": "mse"}, "/train/loss", "misfit"),
        ({"batch_size": 1}, "/train/batch_size", "misfit"),
        ({"accumulate": 64}, "/train/accumulate", "misfit"),
        ({"accumulate": 9, "batch_size": 8}, "/train/accumulate", "out_of_range"),
        (
            {"schedule": {"name": "cosine", "warmup_steps": 100}, "steps": 50},
            "/train/schedule/warmup_steps",
            "out_of_range",
        ),
        (
            {"early_stopping": {"metric": "validation/r2"}},
            "/train/early_stopping/metric",
            "unknown_name",
        ),
        (
            {"early_stopping": {"metric": "train/f1"}},
            "/train/early_stopping/metric",
            "unknown_name",
        ),
        ({"epochs": 100_000, "batch_size": 1}, "/train/epochs", "too_large"),
    ],
)
def test_training_that_does_not_suit_the_data(fields: Any, place: str, code: str) -> None:
    norm = "batch_norm" if code == "misfit" else "layer_norm"
    model = {"layers": ["flatten", norm, {"linear": 10}]}
    found = only(digits(model=model, train=fields))
    assert (found.pointer, found.code) == (place, code)


def test_early_stopping_without_validation_rows() -> None:
    document = train(early_stopping={})
    document["data"]["split"] = {"train": 1.0}
    found = only(document)
    assert (found.pointer, found.code) == ("/train/early_stopping/metric", "no_rows")


def test_warnings_do_not_refuse() -> None:
    document = train(batch_size=4096)
    document["data"]["split"] = {"train": 1.0}
    document["resources"] = {"device": "cuda"}
    found = planned(document)
    assert [one.pointer for one in found.warnings] == [
        "/train/batch_size",
        "/data/split",
        "/resources/device",
    ]
    assert (found.batch_size, found.steps_per_epoch) == (1797, 1)


def test_a_device_that_no_worker_has() -> None:
    found = only(digits(resources={"device": "cuda"}), Limits(devices=("cpu",)))
    assert (found.pointer, found.code) == ("/resources/device", "no_device")


# Limits


def test_a_layer_of_2_to_the_60_is_refused_as_it_is_read() -> None:
    with pytest.raises(Invalid) as refused:
        parse(layers("flatten", {"linear": 2**60}, {"linear": 10}))
    (found,) = refused.value.problems
    assert (found.pointer, found.got) == ("/model/layers/1/linear", str(2**60))


def test_a_model_over_the_limit_is_refused_by_number_and_nothing_is_allocated() -> None:
    wide = {"linear": 2**24}
    tracemalloc.start()
    found = only(layers("flatten", wide, wide, wide, {"linear": 10}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parameters = 65 * 2**24 + 2 * (2**48 + 2**24) + (2**24 + 1) * 10
    assert (found.pointer, found.got) == ("/model", str(parameters))
    assert peak < 20_000_000


def test_memory_over_the_limit_is_refused_by_number() -> None:
    found = only(train(batch_size=1024), Limits(max_bytes=100_000))
    assert (found.pointer, found.code) == ("/train/batch_size", "too_large")
    assert int(str(found.got)) > 100_000


def test_too_many_layers() -> None:
    found = only(layers("flatten", *["relu"] * 20, {"linear": 10}), Limits(max_layers=10))
    assert (found.pointer, found.code) == ("/model", "too_large")


def test_a_step_of_too_many_parts() -> None:
    document = layers("flatten", *["relu"] * 100, {"linear": 10}, train={"accumulate": 50})
    found = only(document)
    assert (found.pointer, found.got) == ("/train/accumulate", "5100")


def test_the_limits_of_the_settings_are_taken() -> None:
    small = Settings(secret="none", max_parameters=100, device="cpu")
    with pytest.raises(Invalid):
        plan(parse(digits()), DIGITS, limits=small)


def test_a_plan_takes_milliseconds() -> None:
    spec = parse(digits(model={"blueprint": {"name": "convnet", "channels": [32, 64, 128]}}))
    plan(spec, DIGITS)
    begun = time.perf_counter()
    plan(spec, DIGITS)
    assert time.perf_counter() - begun < 0.2

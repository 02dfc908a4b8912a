"""The published JSON Schema and the parser agree."""

from typing import Any

import jsonschema_rs
import pytest

from core.errors import Invalid
from spec.jobs import parse, schema
from spec.layers import KINDS
from tests.spec.specs import digits, layers, train
from tests.spec.test_jobs import GOOD

VALIDATOR = jsonschema_rs.validator_for(schema())


def test_the_schema_is_a_2020_12_schema() -> None:
    assert schema()["$schema"].endswith("2020-12/schema")
    jsonschema_rs.meta.validate(schema())


@pytest.mark.parametrize("document", GOOD)
def test_good_documents_follow_the_schema(document: dict[str, Any]) -> None:
    VALIDATOR.validate(document)
    VALIDATOR.validate(parse(document).document())


@pytest.mark.parametrize(
    "document",
    [
        digits(modle={}),
        digits(model={}),
        digits(model={"layers": ["relu"], "blueprint": "mlp"}),
        layers("rellu"),
        layers("linear"),
        layers({"linear": "x"}),
        layers({"linear": 2**60}),
        layers({"relu": 3}),
        layers({"concat": ["a", "b"]}),
        layers({"residual": [{"linear": -1}]}),
        train(batch_size=0),
        train(epochs=1, steps=1),
        train(optimizer={"name": "sgd", "nesterov": True}),
        train(optimizer="adamm"),
        train(optimizer={"name": "adamm"}),
        digits(model={"graph": {"nodes": {"n": {"linaer": 4, "from": "a"}}, "output": "n"}}),
    ],
)
def test_bad_documents_break_the_schema(document: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parse(document)
    assert not VALIDATOR.is_valid(document)


def test_examples_in_the_schema_are_valid_where_they_stand() -> None:
    definitions = schema()["$defs"]
    checked = 0
    for name, definition in definitions.items():
        validator = jsonschema_rs.validator_for({"$ref": f"#/$defs/{name}", "$defs": definitions})
        for example in definition.get("examples", []):
            validator.validate(example)
            checked += 1
        for field, part in definition.get("properties", {}).items():
            inner = jsonschema_rs.validator_for({**part, "$defs": definitions})
            for example in part.get("examples", []):
                assert inner.is_valid(example), (name, field, example)
                checked += 1
    assert checked > 60


def test_every_field_of_ours_is_described() -> None:
    ours = {"JobSpec", "ModelSpec", "TrainSpec", "GraphSpec", "Resources", "Mlp", "ConvNet"}
    references = {"data", "model", "train", "resources"}  # described by what they refer to
    for name in ours & set(schema()["$defs"]):
        for field, part in schema()["$defs"][name]["properties"].items():
            assert part.get("description") or field in {"name", *references}, (name, field)


def test_every_layer_is_named_and_described() -> None:
    _, mapping = schema()["$defs"]["Layer"]["anyOf"]
    assert set(mapping["properties"]) == {k for k, one in KINDS.items() if not one.merges}
    assert all(one["description"] for one in mapping["properties"].values())
    assert set(schema()["$defs"]["Node"]["properties"]) == {*KINDS, "from"}

import json

import jsonschema_rs
import pytest
from pydantic import ValidationError

from spec.data.config import ColumnSplit, DataSpec, FractionSplit
from tests.spec.data.tables import EVERYTHING, data_spec

DIGITS = {
    "dataset": "digits",
    "inputs": {"image": {"type": "image", "columns": "pixel_*", "shape": [1, 8, 8], "scale": 16}},
    "target": {"column": "label", "type": "category"},
    "split": {"column": "split", "train": "train", "test": "t10k", "validation": 0.1},
}


def faults(document):
    with pytest.raises(ValidationError) as caught:
        DataSpec.model_validate(document)
    return {".".join(map(str, one["loc"])): one["msg"] for one in caught.value.errors()}


def test_a_spec_survives_json():
    for document in (DIGITS, {"dataset": "x", **EVERYTHING}):
        spec = DataSpec.model_validate(document)

        assert DataSpec.model_validate_json(spec.model_dump_json()) == spec
        assert DataSpec.model_validate(spec.model_dump()) == spec


def test_the_split_is_eight_one_one_where_it_is_left_out():
    document = {key: value for key, value in DIGITS.items() if key != "split"}

    split = DataSpec.model_validate(document).split

    assert isinstance(split, FractionSplit)
    assert (split.train, split.validation, split.test) == (0.8, 0.1, 0.1)


def test_the_schema_accepts_its_own_examples_and_refuses_unknown_fields():
    schema = DataSpec.model_json_schema()
    validator = jsonschema_rs.Draft202012Validator(schema)

    for example in (*schema["examples"], DIGITS, {"dataset": "x", **EVERYTHING}):
        assert validator.is_valid(json.loads(json.dumps(example)))
    for definition in schema["$defs"].values():
        for example in definition.get("examples", []):
            resolved = {**definition, "$defs": schema["$defs"]}
            assert jsonschema_rs.Draft202012Validator(resolved).is_valid(example), example
    assert not validator.is_valid({**DIGITS, "imputs": {}})


@pytest.mark.parametrize(
    ("change", "place", "says"),
    [
        ({"inputs": {}}, "inputs", "at least 1 item"),
        ({"inputs": {"a b": {"type": "number"}}}, "inputs.a b.[key]", "pattern"),
        ({"inputs": {"target": {"type": "number"}}}, "", "no input may be called"),
        ({"inputs": {"x": {"type": "nmber"}}}, "inputs.x", "'number', 'category', 'image'"),
        ({"inputs": {"x": {"type": "number", "colum": "a"}}}, "inputs.x.number.colum", "Extra"),
        (
            {"inputs": {"x": {"type": "number", "column": "a", "columns": "b"}}},
            "inputs.x.number",
            "not both",
        ),
        (
            {"inputs": {"x": {"type": "category", "embedding": 3, "one_hot": True}}},
            "inputs.x.category",
            "not both",
        ),
        ({"inputs": {"x": {"type": "image", "columns": "p*"}}}, "inputs.x.image", "need a shape"),
        (
            {"inputs": {"x": {"type": "image", "shape": [3, 2, 2], "mean": [1.0, 2.0]}}},
            "inputs.x.image",
            "one for each of 3",
        ),
        ({"split": {"train": 0.8, "test": 0.3}}, "split.fraction", "add up to 1"),
        ({"split": {"validation": 0.6, "test": 0.5}}, "split.fraction", "nothing to train"),
        ({"split": {"column": "s"}}, "split.column", "at least one part"),
        ({"split": {"column": "s", "train": 1, "test": [1, 2]}}, "split.column", "one part only"),
        ({"split": {"column": "s", "test": 1.5}}, "split.column.test.fraction", "less than 1"),
        ({"split": {"train": "0.8"}}, "split.fraction.train", "valid number"),
        (
            {"target": {"type": "category", "column": "y", "classes": ["a"]}},
            "target.category.classes",
            "2 items",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(change, place, says):
    found = faults(DIGITS | change)

    assert place in found
    assert says in found[place]


def test_the_values_of_a_column_split_by_part():
    split = data_spec(split={"column": "fold", "validation": 8, "test": [9, 10]}).split

    assert isinstance(split, ColumnSplit)
    assert split.values() == {"validation": [8], "test": [9, 10]}

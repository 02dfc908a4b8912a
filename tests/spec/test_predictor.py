"""A model that was packed answers for raw rows as it did in training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import Invalid
from spec.manifest import WEIGHTS, pack
from spec.predictor import Predictor
from spec.training import Training
from tests.spec import tables
from tests.spec.specs import digits, people
from tests.spec.test_training import SMALL, run, started

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture(scope="module")
def training() -> Training:
    made = started(digits(model=SMALL, train={"epochs": 5, "optimizer": {"lr": 0.01}}), 600)
    run(made)
    return made


@pytest.fixture(scope="module")
def packed(training: Training) -> tuple[dict[str, Any], bytes]:
    return pack(training, training.finish())


@pytest.fixture(scope="module")
def predictor(packed: tuple[dict[str, Any], bytes]) -> Predictor:
    return Predictor.load(*packed)


def digit_rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    columns = tables.digits().columns
    return [
        {f"pixel_{n}": int(columns[f"pixel_{n}"].values[row]) for n in range(64)}
        for row in range(start, start + count)
    ]


def test_raw_rows_get_the_numbers_of_the_evaluation(
    training: Training, predictor: Predictor
) -> None:
    part = training.prepared.test
    rows = [digit_rows(1, int(row))[0] for row in part.rows]
    found = predictor.predict(rows)
    target = part.arrays()["target"]
    classes = training.prepared.fitted.classes
    assert classes is not None
    right = [one["label"] == classes[code] for one, code in zip(found, target, strict=True)]
    assert np.mean(right) == pytest.approx(training.evaluate("test")["accuracy"])
    likely = [
        one["probabilities"][str(classes[code])] for one, code in zip(found, target, strict=True)
    ]
    assert -np.log(likely).mean() == pytest.approx(training.evaluate("test")["loss"], rel=1e-4)


def test_outputs_are_those_of_training_to_the_bit(training: Training, predictor: Predictor) -> None:
    rows = digit_rows(600)
    arrays = training.prepared.fitted.encode(rows)
    assert np.array_equal(predictor.outputs(rows), training._forward(arrays))


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 256, 257, 530])
def test_any_number_of_rows(predictor: Predictor, count: int) -> None:
    rows = digit_rows(count)
    found = predictor.outputs(rows)
    assert found.shape == (count, 10)
    single = predictor.outputs(rows[-1:])
    np.testing.assert_allclose(found[-1:], single, rtol=1e-5, atol=1e-5)


def test_no_rows_give_no_answers(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_probabilities_add_up_to_1(predictor: Predictor) -> None:
    (found,) = predictor.predict(digit_rows(1))
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert found["label"] in range(10)


def test_bad_rows_are_all_named(predictor: Predictor) -> None:
    rows = digit_rows(3)
    del rows[0]["pixel_5"]
    rows[2]["pixel_7"] = "dark"
    with pytest.raises(Invalid) as refused:
        predictor.predict(rows)
    assert {one.pointer for one in refused.value.problems} == {"/rows/0/pixel_5", "/rows/2/pixel_7"}


def test_weights_may_lie_in_a_file(packed: tuple[dict[str, Any], bytes], tmp_path: Path) -> None:
    manifest, weights = packed
    path = tmp_path / WEIGHTS
    path.write_bytes(weights)
    rows = digit_rows(2)
    assert Predictor.load(manifest, path).predict(rows) == Predictor.load(
        manifest, weights
    ).predict(rows)


def test_the_manifest_is_json_and_says_what_the_model_is(
    packed: tuple[dict[str, Any], bytes], training: Training
) -> None:
    manifest, weights = packed
    assert json.loads(json.dumps(manifest, allow_nan=False)) == manifest
    assert manifest["weights"]["bytes"] == len(weights)
    assert manifest["weights"]["parameters"] == training.network.num_parameters()
    assert manifest["spec"] == training.spec.document()
    assert manifest["shapes"]["inputs"]["image"]["shape"] == [1, 8, 8]
    assert manifest["metrics"]["test/accuracy"] > 0.5
    assert manifest["trained"]["steps"] == training.total_steps


def test_other_weights_are_refused(packed: tuple[dict[str, Any], bytes]) -> None:
    manifest, weights = packed
    with pytest.raises(Invalid) as refused:
        Predictor.load(manifest, weights[:-1] + bytes([weights[-1] ^ 1]))
    assert refused.value.problems[0].pointer == "/weights/sha256"


def test_a_damaged_manifest_is_refused(packed: tuple[dict[str, Any], bytes]) -> None:
    manifest, weights = packed
    with pytest.raises(Invalid) as refused:
        Predictor.load({**manifest, "version": 2}, weights)
    assert refused.value.problems[0].pointer == "/version"


def test_a_number_comes_back_in_its_own_units() -> None:
    document = people(train={"optimizer": {"lr": 0.02}, "epochs": 60, "batch_size": 32})
    document["data"]["target"]["normalize"] = "standard"
    training = started(document, 400)
    run(training)
    predictor = Predictor.load(*pack(training, training.finish()))
    (found,) = predictor.predict([{"height": 170.0, "weight": 70.0, "job": "nurse"}])
    assert found["value"] == pytest.approx(20 + 17 + 14 + 15, abs=3)
    assert predictor.columns == ["height", "weight", "job"]


def test_a_value_never_seen_is_answered_all_the_same() -> None:
    training = started(people(train={"epochs": 1}), 200)
    predictor = Predictor.load(*pack(training, training.finish()))
    (found,) = predictor.predict([{"height": 170.0, "weight": 70.0, "job": "pilot"}])
    assert np.isfinite(found["value"])

"""Real data sets, where the sample data folder is present (GRADWORKS_SAMPLE_DATA)."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import Invalid
from spec.data.check import describe
from spec.data.config import DataSpec
from spec.data.fitted import Fitted
from spec.data.prepare import prepare
from spec.data.preview import preview
from spec.data.profile import profile
from spec.data.reading import read
from spec.data.sources import DataFile
from tests.spec.data.files import values

FOLDER = Path(os.environ.get("GRADWORKS_SAMPLE_DATA", "sample-data"))
NAMES = (
    "age workclass fnlwgt education education_num marital_status occupation relationship race sex "
    "capital_gain capital_loss hours_per_week native_country income"
)
ADULT = NAMES.split()


def sample(*names):
    paths = [FOLDER / name for name in names]
    absent = [path.name for path in paths if not path.is_file()]
    if absent:
        pytest.skip(f"the sample data folder {FOLDER} has no {', '.join(absent)}")
    return [DataFile(path.name, path) for path in paths]


def ready(files, options=None, **parts):
    """Prepared, after checks that hold for every data set."""
    spec = DataSpec.model_validate({"dataset": "sample", **parts})
    table = read(files, options=options)
    told = describe(spec, profile(table))
    made = prepare(table, spec)
    assert made.shapes == told
    rows = json.loads(json.dumps(preview(table, 200), allow_nan=False))
    fitted = Fitted.from_json(json.loads(json.dumps(made.fitted.to_json(), allow_nan=False)))
    encoded = fitted.encode(rows)
    at = np.flatnonzero(made.train.rows < len(rows))
    expected = made.train.gather(at)
    for name, found in encoded.items():
        assert np.array_equal(found[made.train.rows[at]], expected[name])
    return made


def test_fashion_mnist():
    files = sample(
        *(
            f"fashion-mnist/{part}-{kind}-ubyte.gz"
            for part in ("train", "t10k")
            for kind in ("images-idx3", "labels-idx1")
        )
    )
    start = time.perf_counter()

    made = ready(
        files,
        inputs={"image": {"type": "image"}},
        target={"column": "label", "type": "category"},
        split={
            "column": "split",
            "train": "train",
            "test": "t10k",
            "validation": 0.1,
            "stratify": True,
        },
    )

    assert time.perf_counter() - start < 20
    assert made.shapes.rows.model_dump() == {"train": 54_000, "validation": 6_000, "test": 10_000}
    assert made.inputs["image"].shape == [1, 28, 28]
    assert made.fitted.classes == list(range(10))
    targets = made.train.arrays()["target"]
    assert np.bincount(targets).tolist() == [5400] * 10
    assert np.isclose(made.train.arrays()["image"].mean(), 0.286, atol=0.002)


def test_adult():
    files = sample("adult/adult.data", "adult/adult.test")
    options = {
        "header": False,
        "names": ADULT,
        "comment": "|",
        "trailing": {"income": "."},
        "file_column": "file",
    }
    numbers = [ADULT[at] for at in (0, 2, 4, 10, 11, 12)]
    categories = [name for name in ADULT[:-1] if name not in numbers]

    found = profile(files, options=options)
    made = ready(
        files,
        options,
        inputs={
            "numbers": {"type": "number", "columns": numbers},
            **{name: {"type": "category"} for name in categories},
        },
        target={"column": "income", "type": "category"},
        split={"column": "file", "train": "adult.data", "test": "adult.test", "validation": 0.1},
    )

    assert found.rows == 48_842
    assert [found.column(name).missing for name in ("workclass", "occupation")] == [2799, 2809]
    assert made.fitted.classes == ["<=50K", ">50K"]
    assert made.shapes.rows.model_dump() == {"train": 29_305, "validation": 3256, "test": 16_281}
    assert made.inputs["education"].cardinality == 18


def test_telco_churn():
    files = sample("telco-churn/Telco-Customer-Churn.csv")
    found = profile(files)
    parts = {
        "target": {"column": "Churn", "type": "category"},
        "split": {"train": 0.8, "validation": 0.1, "test": 0.1, "stratify": True},
    }
    numbers = {"type": "number", "columns": ["tenure", "MonthlyCharges", "TotalCharges"]}

    with pytest.raises(Invalid) as caught:
        ready(files, inputs={"numbers": numbers}, **parts)
    made = ready(
        files,
        inputs={
            "numbers": numbers | {"missing": "median"},
            "Contract": {"type": "category", "one_hot": True},
        },
        **parts,
    )

    (problem,) = caught.value.problems
    assert problem.pointer == "/data/inputs/numbers/missing"
    assert "11 missing values" in problem.detail
    assert found.column("TotalCharges").missing == 11
    assert {(w.column, w.code) for w in found.warnings} == {("customerID", "unique")}
    share = [np.mean(part.arrays()["target"]) for part in (made.train, made.validation, made.test)]
    assert np.allclose(share, 0.2654, atol=0.001)


def test_vehicle_claim_fraud():
    files = sample("vehicle-claim-fraud/fraud_oracle.csv")

    made = ready(
        files,
        inputs={
            "numbers": {"type": "number", "columns": ["Age", "Deductible", "DriverRating"]},
            "Make": {"type": "category", "embedding": 4},
            "MonthClaimed": {"type": "category"},
        },
        target={"column": "FraudFound_P", "type": "category"},
        split={"column": "Year", "train": [1994, 1995], "test": 1996, "validation": 0.1},
    )

    assert made.shapes.rows.test == 4083
    assert made.fitted.classes == [0, 1]
    whole = sum(part.arrays()["target"].sum() for part in (made.train, made.validation, made.test))
    assert whole == 923


def test_connect_4():
    files = sample("connect-4/connect-4-binary.data.gz")
    squares = [f"column_{n}" for n in range(1, 43)]

    with pytest.raises(Invalid) as caught:
        read(files)
    made = ready(
        files,
        {"header": False},
        inputs={"board": {"type": "category", "columns": squares, "missing": "unknown"}},
        target={"column": "column_43", "type": "category"},
        split={"test": 0.2, "stratify": True},
    )

    assert "header: false" in caught.value.problems[0].hint
    assert made.inputs["board"].shape == [42]
    assert made.inputs["board"].cardinality == 4
    assert len(made.train) + len(made.test) == 67_557


def test_splice():
    files = sample("splice/splice.data")

    table = read(files, options={"header": False, "names": ["kind", "name", "bases"]})
    found = profile(table)

    assert {c.value: c.count for c in found.column("kind").categories} == {
        "N": 1655,
        "IE": 768,
        "EI": 767,
    }
    assert {len(text) for text in values(table, "bases")} == {60}
    assert found.column("bases").type == "text"


def test_messages_with_stray_quotes():
    files = sample("sms-spam/SMSSpamCollection")
    options = {"header": False, "names": ["kind", "text"], "quotes": False}

    found = profile(files, options=options)

    assert found.rows == 5574
    assert {c.value: c.count for c in found.column("kind").categories}["spam"] == 747

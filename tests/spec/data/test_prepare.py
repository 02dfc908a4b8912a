import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.datasets import load_digits

from core.errors import Invalid
from engine.data import DataLoader
from spec.data.check import describe
from spec.data.prepare import prepare
from spec.data.profile import profile
from tests.spec.data.files import put
from tests.spec.data.tables import EVERYTHING, data_spec, people, table

PARTS = ("train", "validation", "test")


def prepared(made, seed=0, **parts):
    return prepare(made, data_spec(**parts), seed=seed)


def assert_described(made, spec):
    """What describe says without the data is what prepare yields from it."""
    told = describe(spec, profile(made))
    ready = prepare(made, spec)

    assert ready.shapes == told
    for part in PARTS:
        arrays = getattr(ready, part).arrays()
        rows = getattr(told.rows, part)
        assert len(getattr(ready, part)) == rows
        for name, shape in told.inputs.items():
            assert arrays[name].shape == (rows, *shape.shape)
            assert arrays[name].dtype == shape.dtype
            assert arrays[name].flags.c_contiguous
            if shape.cardinality is not None:
                assert arrays[name].size == 0 or arrays[name].min() >= 0
                assert arrays[name].size == 0 or arrays[name].max() < shape.cardinality
        assert arrays["target"].shape == (rows, *told.target.shape)
        assert arrays["target"].dtype == told.target.dtype
    if told.target.classes is not None:
        assert len(ready.fitted.classes) == told.target.classes


SPLITS = [
    {"train": 1.0},
    {"validation": 0.15, "test": 0.35},
    {"train": 0.5, "validation": 0.25, "test": 0.25, "stratify": True},
    {"column": "fold", "validation": 3, "test": [4, 5]},
    {"column": "fold", "train": [0, 1, 2], "validation": 0.3, "test": 9, "rest": "ignore"},
    {"column": "town", "test": "Rome", "validation": 0.1, "stratify": True},
]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("target", ["label", "price"])
def test_what_is_described_is_what_is_prepared(split, target):
    kind = "category" if target == "label" else "number"
    stratify = {"stratify": split.get("stratify", False) and kind == "category"}
    inputs = {k: v for k, v in EVERYTHING["inputs"].items() if k not in ("town", "pair")}
    spec = data_spec(inputs=inputs, target={"type": kind, "column": target}, split=split | stratify)

    assert_described(people(), spec)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(40, 120),
    seed=st.integers(0, 50),
    limit=st.none() | st.integers(1, 8),
    missing=st.sampled_from(["category", "unknown"]),
    several=st.booleans(),
)
def test_cardinalities_are_known_without_the_data(rows, seed, limit, missing, several):
    given_ = {"type": "category", "missing": missing, "limit": limit}
    source = {"columns": ["town", "job", "level"]} if several else {"column": "job"}
    spec = data_spec(
        inputs={"c": given_ | source},
        target={"type": "number", "column": "price"},
        split={"test": 0.5},
    )

    assert_described(people(rows, seed), spec)


def test_rows_without_a_target_can_be_dropped():
    made = table(x=list(range(20)), y=["a", "b", None, "a"] * 5)
    target = {"type": "category", "column": "y", "missing": "drop"}
    spec = data_spec(target=target, split={"test": 0.2})

    assert_described(made, spec)
    ready = prepare(made, spec)
    assert len(ready.train) + len(ready.test) == 15
    assert 2 not in ready.train.rows
    assert 2 not in ready.test.rows


def test_numbers_are_standardised_by_the_training_rows_alone():
    made = table(x=[1.0, 3.0, 1000.0, 2000.0], y=["a", "b", "a", "b"], s=["t", "t", "e", "e"])

    ready = prepared(made, split={"column": "s", "train": "t", "test": "e"})

    assert ready.train.arrays()["x"].tolist() == [[-1.0], [1.0]]
    assert ready.test.arrays()["x"].tolist() == [[998.0], [1998.0]]


@pytest.mark.parametrize(
    ("normalize", "expected"),
    [
        ("standard", [-1.5, -0.5, 0.5, 1.5] / np.sqrt(1.25)),
        ("minmax", [0, 1 / 3, 2 / 3, 1]),
        ("robust", np.array([-1.5, -0.5, 0.5, 1.5]) / 1.5),
        ("none", [1, 2, 3, 4]),
    ],
)
def test_ways_to_normalise(normalize, expected):
    made = table(x=[1, 2, 3, 4], y=["a", "b"] * 2)

    found = prepared(made, inputs={"x": {"type": "number", "normalize": normalize}})

    assert np.array_equal(found.train.arrays()["x"][:, 0], np.asarray(expected, np.float32))


@pytest.mark.parametrize(("missing", "value"), [("mean", 4), ("median", 3), ("zero", 0)])
def test_what_stands_in_for_missing_values(missing, value):
    made = table(x=[None, 2, 3, 7], y=["a", "b"] * 2)
    given_ = {"type": "number", "normalize": "none", "missing": missing}

    found = prepared(made, inputs={"x": given_}).train.arrays()["x"]

    assert found[:, 0].tolist() == [value, 2, 3, 7]


def test_a_constant_column_is_zero_and_not_nan():
    made = table(x=[5, 5, 5, 5], y=["a", "b"] * 2)

    for normalize in ("standard", "minmax", "robust"):
        inputs = {"x": {"type": "number", "normalize": normalize}}
        assert prepared(made, inputs=inputs).train.arrays()["x"].tolist() == [[0]] * 4


def test_vocabularies_come_from_the_training_rows_alone():
    made = table(
        x=["b", "a", None, "new"], y=["u", "v", "u", "v"], s=["train", "train", "train", "test"]
    )
    split = {"column": "s", "test": "test"}

    ready = prepared(made, inputs={"x": {"type": "category"}}, split=split)

    assert ready.inputs["x"].cardinality == 5
    assert ready.train.arrays()["x"].tolist() == [3, 2, 1]
    assert ready.test.arrays()["x"].tolist() == [0]


def test_a_limit_keeps_the_most_frequent_values():
    made = table(x=["a", "b", "b", "c", "c", "c"], y=["u", "v"] * 3)
    given_ = {"type": "category", "limit": 2, "missing": "unknown"}

    ready = prepared(made, inputs={"x": given_})

    assert ready.train.arrays()["x"].tolist() == [0, 1, 1, 2, 2, 2]
    assert ready.inputs["x"].cardinality == 3
    roomy = prepared(made, inputs={"x": given_ | {"limit": 50}})
    assert roomy.inputs["x"].cardinality == 4


def test_columns_with_a_shared_vocabulary():
    made = table(p=["x", "o", "x"], q=["o", "o", "b"], y=["u", "v", "u"])

    ready = prepared(made, inputs={"board": {"type": "category", "columns": ["p", "q"]}})

    assert ready.train.arrays()["board"].tolist() == [[4, 3], [3, 3], [4, 2]]
    assert ready.inputs["board"].cardinality == 5


def test_numbers_and_truth_values_as_categories():
    made = table(n=[10, 9, 10, None], f=[True, False, True, True], y=["u", "v"] * 2)
    inputs = {name: {"type": "category"} for name in ("n", "f")}

    found = prepared(made, inputs=inputs).train.arrays()

    assert found["n"].tolist() == [3, 2, 3, 1]
    assert found["f"].tolist() == [3, 2, 3, 3]


def test_classes_are_sorted_or_declared():
    made = table(x=[1, 2, 3, 4], y=[10, 9, 10, 2])
    target = {"type": "category", "column": "y"}

    fitted = prepared(made).fitted
    declared = prepared(made, target=target | {"classes": [10, 2, 9, 7]})

    assert fitted.classes == [2, 9, 10]
    assert declared.train.arrays()["target"].tolist() == [0, 2, 0, 1]
    assert declared.target.classes == 4


def test_a_number_as_target():
    made = table(x=[1, 2, 3, 4], y=[10.0, 20.0, 30.0, 40.0])
    target = {"type": "number", "column": "y", "normalize": "minmax"}

    found = prepared(made, target=target).train.arrays()["target"]

    assert np.allclose(found, [[0], [1 / 3], [2 / 3], [1]])


LAYOUTS = [
    ((4, 5), {}, lambda a: a[:, None]),
    ((4, 5, 3), {}, lambda a: a.transpose(0, 3, 1, 2)),
    ((3, 4, 5), {}, lambda a: a),
    ((3, 4, 3), {"layout": "CHW"}, lambda a: a),
    ((3, 4, 3), {"layout": "HWC"}, lambda a: a.transpose(0, 3, 1, 2)),
]


@pytest.mark.parametrize(("shape", "given_", "expected"), LAYOUTS)
def test_layouts_of_images(shape, given_, expected):
    images = np.arange(6 * np.prod(shape)).reshape(6, *shape).astype(np.uint8)
    made = table(image=images, y=["a", "b"] * 3)

    ready = prepared(made, inputs={"image": {"type": "image"} | given_})

    found = ready.train.arrays()["image"]
    assert np.array_equal(found, expected(images).astype(np.float32) / np.float32(255))
    assert list(found.shape[1:]) == ready.inputs["image"].shape


def test_images_from_pixel_columns_in_natural_order():
    digits = load_digits()
    columns = {f"pixel_{n}": digits.data[:, n].astype(int) for n in reversed(range(64))}
    made = table(**columns, label=digits.target)
    image = {"type": "image", "columns": "pixel_*", "shape": [1, 8, 8], "scale": 16}

    ready = prepared(made, inputs={"image": image}, target={"type": "category", "column": "label"})

    expected = (digits.images / 16).astype(np.float32)[:, None]
    assert np.array_equal(ready.train.arrays()["image"], expected)
    assert np.array_equal(ready.train.arrays()["target"], digits.target)


def test_mean_and_deviation_of_images_by_channel():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (50, 3, 8, 8)).astype(np.uint8)
    made = table(image=images, y=["a", "b"] * 25)

    fitted = prepared(made, inputs={"image": {"type": "image", "normalize": "standard"}})
    given_ = {"type": "image", "mean": [0.5], "std": [0.25, 0.5, 1.0]}
    stated = prepared(made, inputs={"image": given_})

    found = fitted.train.arrays()["image"]
    assert np.allclose(found.mean((0, 2, 3)), 0, atol=1e-5)
    assert np.allclose(found.std((0, 2, 3)), 1, atol=1e-5)
    scaled = images.astype(np.float32) / 255
    spread = np.array([0.25, 0.5, 1.0])[:, None, None]
    assert np.allclose(stated.train.arrays()["image"], (scaled - 0.5) / spread, atol=1e-6)


def test_mean_and_deviation_of_images_come_from_the_training_rows_alone():
    images = np.stack([np.full((4, 4), value, np.uint8) for value in (0, 2, 200, 255)])
    made = table(image=images, y=["a", "b"] * 2, s=["t", "t", "e", "e"])
    image = {"type": "image", "normalize": "standard", "scale": 1}

    ready = prepared(
        made, inputs={"image": image}, split={"column": "s", "train": "t", "test": "e"}
    )

    assert ready.train.arrays()["image"][:, 0, 0, 0].tolist() == [-1, 1]
    assert ready.test.arrays()["image"][:, 0, 0, 0].tolist() == [199, 254]


def test_the_same_seed_gives_the_same_bits_and_another_seed_other_rows():
    spec = data_spec(**EVERYTHING)
    first, again, other = (prepare(people(), spec, seed=seed) for seed in (1, 1, 2))

    assert first.fitted == again.fitted
    for part in PARTS:
        one, two = getattr(first, part).arrays(), getattr(again, part).arrays()
        assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(first.train.rows, other.train.rows)


def test_parts_are_datasets_a_loader_takes():
    ready = prepare(people(), data_spec(**EVERYTHING))

    with DataLoader(ready.train, batch_size=16, shuffle=True, seed=3).epoch(0) as batches:
        seen = list(batches)

    assert sum(len(batch["target"]) for batch in seen) == len(ready.train)
    assert set(seen[0]) == {*EVERYTHING["inputs"], "target"}
    everything = ready.train.arrays()
    order = np.sort(np.concatenate([batch["age"] for batch in seen]), axis=0)
    assert np.array_equal(order, np.sort(everything["age"], axis=0))


def test_gathered_rows_are_those_asked_for_and_bytes_stay_bytes():
    ready = prepare(people(), data_spec(**EVERYTHING))
    whole = ready.train.arrays()

    found = ready.train.gather(np.array([5, 2, 5]))

    assert all(np.array_equal(found[name], whole[name][[5, 2, 5]]) for name in whole)
    assert not ready.test.gather(np.array([], np.int64))["photo"].size


def test_a_spec_that_does_not_fit_the_files_is_refused(tmp_path):
    file = put(tmp_path, "x,y\n1,a\noops,b\n3,a\n4,b\n")

    with pytest.raises(Invalid) as caught:
        prepare([file], data_spec())

    assert "row 2: 'oops'" in caught.value.problems[0].detail


def test_preparing_from_files(tmp_path):
    file = put(tmp_path, "x;y\n1;a\n2;b\n-;a\n4;b\n")
    inputs = {"x": {"type": "number", "missing": "zero"}}

    ready = prepare([file], data_spec(inputs=inputs), options={"missing": ["-"]})

    assert len(ready.train) == 4

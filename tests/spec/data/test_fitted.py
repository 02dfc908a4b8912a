import json

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from core.errors import Invalid
from spec.data.fitted import Fitted
from spec.data.prepare import prepare
from spec.data.preview import preview
from tests.spec.data.tables import EVERYTHING, data_spec, people, table


def through_json(fitted):
    return Fitted.from_json(json.loads(json.dumps(fitted.to_json(), allow_nan=False)))


@pytest.fixture(scope="module")
def ready():
    return prepare(people(), data_spec(**EVERYTHING))


def fit(made, **parts):
    return through_json(prepare(made, data_spec(**parts)).fitted)


def first_problem(fitted, rows):
    with pytest.raises(Invalid) as caught:
        fitted.encode(rows)
    return caught.value.problems[0]


def test_the_state_survives_json(ready):
    assert through_json(ready.fitted) == ready.fitted


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    normalize=st.sampled_from(["standard", "minmax", "robust", "none"]),
    missing=st.sampled_from(["mean", "median", "zero"]),
)
def test_raw_rows_are_encoded_to_the_same_bits_as_in_training(seed, normalize, missing):
    made = people(60, seed)
    inputs = {
        name: given_ | ({"normalize": normalize} if given_["type"] == "number" else {})
        for name, given_ in EVERYTHING["inputs"].items()
    }
    inputs["age"] |= {"missing": missing}
    ready = prepare(made, data_spec(**(EVERYTHING | {"inputs": inputs})), seed=seed)
    rows = json.loads(json.dumps(preview(made, 60)))

    encoded = through_json(ready.fitted).encode(rows)

    for part in (ready.train, ready.validation, ready.test):
        expected = part.arrays()
        for name, found in encoded.items():
            assert found.dtype == expected[name].dtype
            assert np.array_equal(found[part.rows], expected[name]), name


def test_rows_as_text_are_read_like_a_file():
    fitted = fit(
        table(x=[1, 2, 3, None], c=[5, 6, 5, 6], t=["1", "b", "1", "b"], y=["a", "b"] * 2),
        inputs={
            "x": {"type": "number", "normalize": "none", "missing": "zero"},
            "c": {"type": "category"},
            "t": {"type": "category"},
        },
    )

    found = fitted.encode(
        [
            {"x": " 2.5 ", "c": "6", "t": 1},
            {"x": "?", "c": 6.0, "t": " b "},
            {"x": None, "c": "NA", "t": "never seen"},
            {"x": True, "c": 7, "t": None},
            {"x": "true", "c": None, "t": 1.0},
        ]
    )

    assert found["x"][:, 0].tolist() == [2.5, 0, 0, 1, 1]
    assert found["c"].tolist() == [3, 3, 1, 0, 1]
    assert found["t"].tolist() == [2, 3, 0, 1, 2]


def test_truth_values_match_however_they_were_spelled():
    inputs = {"f": {"type": "category"}}
    made = table(f=["True", "False"] * 2, y=["a", "b", "b", "a"])

    assert fit(made, inputs=inputs).encode([{"f": True}, {"f": "True"}])["f"].tolist() == [3, 3]


def test_columns_that_no_input_takes_are_ignored(ready):
    rows = preview(people(), 2)
    fewer = [{name: row[name] for name in ready.fitted.columns} for row in rows]

    first, second = ready.fitted.encode(rows), ready.fitted.encode(fewer)

    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"pay": "lots"}, "/rows/1/pay", "not_a_number"),
        ({"pay": float("inf")}, "/rows/1/pay", "not_a_number"),
        ({"pay": None}, "/rows/1/pay", "missing_value"),
        ({"pay": [1, 2]}, "/rows/1/pay", "wrong_type"),
        ({"pay": {"a": 1}}, "/rows/1/pay", "not_a_number"),
        ({"vector": [1, 2]}, "/rows/1/vector", "wrong_type"),
        ({"vector": [1, None, 2]}, "/rows/1/vector", "missing_value"),
        ({"level": None}, "/rows/1/level", "missing_value"),
        ({"job": ["baker"]}, "/rows/1/job", "wrong_type"),
        ({"photo": [[1, 2], [3, 4]]}, "/rows/1/photo", "wrong_shape"),
        ({"photo": "a picture"}, "/rows/1/photo", "wrong_shape"),
        ({"photo": [[[1.0]], [[1.0, 2.0]]]}, "/rows/1/photo", "wrong_shape"),
        ({"photo": (np.zeros((4, 5, 3)) + np.inf).tolist()}, "/rows/1/photo", "not_finite"),
        ({"pay": 10**400}, "/rows/1/pay", "not_a_number"),
    ],
)
def test_bad_values_are_named_by_row_and_column(ready, change, pointer, code):
    rows = preview(people(), 3)
    rows[1] |= change

    problem = first_problem(ready.fitted, rows)

    assert (problem.pointer, problem.code) == (pointer, code)


def test_a_column_that_is_not_there_gets_a_suggestion(ready):
    row = preview(people(), 1)[0]
    row["Pay"] = row.pop("pay")

    problem = first_problem(ready.fitted, [row])

    assert (problem.pointer, problem.code) == ("/rows/0/pay", "missing_column")
    assert problem.hint == "did you mean 'Pay'?"


def test_rows_that_are_no_mappings(ready):
    assert first_problem(ready.fitted, [3]).pointer == "/rows/0"


def test_many_bad_rows_are_counted_and_the_first_shown(ready):
    with pytest.raises(Invalid) as caught:
        ready.fitted.encode([{}] * 500)

    assert len(caught.value.problems) == 50
    assert "problems with the rows" in caught.value.detail


def test_no_rows_give_empty_arrays(ready):
    found = ready.fitted.encode([])

    assert {name: len(array) for name, array in found.items()} == dict.fromkeys(found, 0)
    assert found["photo"].shape == (0, 3, 4, 5)
    assert found["sizes"].shape == (0, 3)


def test_pixel_columns():
    made = table(**{f"p{n}": [n, 2 * n, 3, 4] for n in range(4)}, y=["a", "b"] * 2)
    image = {"type": "image", "columns": "p*", "shape": [1, 2, 2], "scale": 2}
    fitted = fit(made, inputs={"image": image})

    plain = fitted.encode([{f"p{n}": n for n in range(4)}])["image"]
    text = fitted.encode([{f"p{n}": str(n) for n in range(4)}])["image"]

    assert plain.tolist() == [[[[0, 0.5], [1, 1.5]]]]
    assert np.array_equal(plain, text)
    assert first_problem(fitted, [{"p0": 1, "p1": 2, "p2": None, "p3": 4}]).pointer == "/rows/0/p2"


def test_answers_for_classes(ready):
    (answer,) = ready.fitted.decode(np.array([[0.0, np.log(2), np.log(5)]]))

    assert ready.fitted.classes == ["maybe", "no", "yes"]
    assert answer["label"] == "yes"
    assert np.allclose(
        [answer["probabilities"][c] for c in ready.fitted.classes], [0.125, 0.25, 0.625]
    )
    (given_,) = ready.fitted.decode(np.array([[0.2, 0.5, 0.3]]), logits=False)
    assert given_ == {"label": "no", "probabilities": {"maybe": 0.2, "no": 0.5, "yes": 0.3}}


def test_large_logits_do_not_overflow(ready):
    (answer,) = ready.fitted.decode(np.array([[1e4, 0.0, -1e4]]))

    assert answer["probabilities"] == {"maybe": 1.0, "no": 0.0, "yes": 0.0}


def test_outputs_that_are_not_finite_give_no_answer_and_valid_json(ready):
    answers = ready.fitted.decode(np.array([[np.nan, 0, 1], [0, 1, 2]]))

    assert answers[0] == {"label": None, "nonfinite": "nan"}
    assert answers[1]["label"] == "yes"
    json.dumps(answers, allow_nan=False)


def test_one_logit_is_enough_for_two_classes():
    fitted = fit(table(x=[1, 2, 3, 4], y=[0, 1, 1, 0]))

    low, high = fitted.decode(np.array([[-np.log(3)], [np.log(3)]]))

    assert (low["label"], high["label"]) == (0, 1)
    assert np.isclose(high["probabilities"]["1"], 0.75)
    assert fitted.decode(np.array([2.0]))[0]["label"] == 1


def test_the_wrong_number_of_outputs(ready):
    with pytest.raises(Invalid, match="for 3 classes"):
        ready.fitted.decode(np.zeros((2, 4)))


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=30),
    normalize=st.sampled_from(["standard", "minmax", "robust", "none"]),
)
@example(values=[0.0, 0.0, 0.0, 1.0, 1e-63], normalize="robust")
def test_a_number_comes_back_in_its_own_units(values, normalize):
    made = table(x=list(range(len(values))), y=np.array(values))
    target = {"type": "number", "column": "y", "normalize": normalize}
    ready = prepare(made, data_spec(target=target))

    answers = through_json(ready.fitted).decode(ready.train.arrays()["target"])

    spread = max(np.ptp(values), max(map(abs, values)), 1e-30)
    error = np.abs(np.array([one["value"] for one in answers]) - values)
    assert error.max() <= 1e-5 * spread


def test_a_number_that_is_not_finite():
    fitted = fit(
        table(x=[1, 2, 3, 4], y=[1.0, 2.0, 3.0, 4.0]), target={"type": "number", "column": "y"}
    )

    assert fitted.decode(np.array([[np.inf], [1.0]])) == [
        {"value": None, "nonfinite": "inf"},
        {"value": 1.0},
    ]
    with pytest.raises(Invalid, match="one number a row"):
        fitted.decode(np.zeros((2, 2)))


def test_a_damaged_state_is_refused(ready):
    document = ready.fitted.to_json()
    del document["inputs"]["age"]["scale"]

    with pytest.raises(Invalid) as caught:
        Fitted.from_json(document)

    assert caught.value.problems[0].pointer == "/inputs/age/number/scale"

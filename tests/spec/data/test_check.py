import time

import numpy as np
import pytest

from core.errors import Invalid
from spec.data.check import check, describe
from spec.data.profile import profile
from tests.spec.data.tables import EVERYTHING, data_spec, people, table


def problems(made, **parts):
    """What is wrong, as {pointer: code}, and the problems themselves."""
    found = check(data_spec(**parts), profile(made))
    return {one.pointer: one.code for one in found}, found


def things(**columns):
    """A table with x and y, and whatever else."""
    base = {"x": [1.0, 2.0, 3.0, 4.0], "y": ["a", "b", "a", "b"]}
    return table(**(base | columns))


def test_a_sound_spec_has_no_problems():
    assert check(data_spec(**EVERYTHING), profile(people())) == []


def test_every_problem_is_found_at_once():
    found, _ = problems(
        things(t=["1", "2", "oops", "4"]),
        inputs={
            "a": {"type": "number", "column": "xx"},
            "t": {"type": "number"},
            "y": {"type": "category"},
        },
        target={"type": "category", "column": "y", "classes": ["a", "c"]},
        split={"column": "part", "train": "x"},
    )

    assert found == {
        "/data/inputs/a/column": "unknown_column",
        "/data/inputs/t": "not_a_number",
        "/data/inputs/y": "target_leak",
        "/data/target/classes": "undeclared_class",
        "/data/split/column": "unknown_column",
    }


def test_text_in_a_number_column_names_the_first_row():
    _, (problem,) = problems(things(x=["1", "2", "n. a.", "4"]))

    assert problem.pointer == "/data/inputs/x"
    assert problem.detail == "column 'x' holds text, row 3: 'n. a.'"
    assert problem.got == "n. a."


def test_numbers_written_as_text_are_numbers():
    assert problems(things(x=["1", "2", None, "4"]), inputs={"x": MEAN})[0] == {}


MEAN = {"type": "number", "missing": "mean"}


@pytest.mark.parametrize(
    ("values", "given", "pointer", "code"),
    [
        ([1, None, 2, 3], {"type": "number"}, "/missing", "missing_values"),
        ([1, np.nan, 2, 3], {"type": "number"}, "/missing", "missing_values"),
        ([1, np.inf, 2, 3], MEAN, "", "not_finite"),
        ([1, 1e300, 2, 3], MEAN, "", "out_of_range"),
        ([None] * 4, MEAN, "", "empty_column"),
        (
            ["a", None, "b", "a"],
            {"type": "category", "missing": "error"},
            "/missing",
            "missing_values",
        ),
        (np.zeros((4, 2, 2)), {"type": "number"}, "", "wrong_type"),
        (np.zeros((4, 2, 2)), {"type": "category"}, "", "wrong_type"),
        (np.full((4, 2), np.nan), {"type": "number"}, "", "not_finite"),
        (np.full((4, 2, 2), np.nan), {"type": "image"}, "", "not_finite"),
        (np.zeros((4, 2)), {"type": "image"}, "", "wrong_type"),
        ([1.0, 2, 3, 4], {"type": "image"}, "", "wrong_type"),
        (np.zeros((4, 3, 5, 3)), {"type": "image"}, "/layout", "wrong_layout"),
        (np.zeros((4, 5, 5)), {"type": "image", "layout": "CHW"}, "/layout", "wrong_layout"),
        (np.zeros((4, 5, 6)), {"type": "image", "shape": [1, 6, 5]}, "/shape", "wrong_shape"),
        (np.zeros((4, 5, 6, 3)), {"type": "image", "mean": [0.1, 0.2]}, "/mean", "wrong_length"),
    ],
)
def test_what_an_input_cannot_take(values, given, pointer, code):
    found, _ = problems(things(x=values), inputs={"x": given})

    assert found == {f"/data/inputs/x{pointer}": code}


def test_pixel_columns_must_fill_the_image():
    pixels = {f"p{n}": [1, 2, 3, 4] for n in range(9)}
    image = {"type": "image", "columns": "p*", "shape": [1, 2, 2]}

    found, (problem,) = problems(things(**pixels), inputs={"image": image})

    assert found == {"/data/inputs/image/shape": "wrong_shape"}
    assert problem.hint == "9 columns make the shape [1, 3, 3]"


def test_bad_pixels_are_not_listed_without_end():
    pixels = {f"p{n}": [1, None, 3, 4] for n in range(100)}
    image = {"type": "image", "columns": "p*", "shape": [1, 10, 10]}

    _, found = problems(things(**pixels), inputs={"image": image})

    assert len(found) == 21
    assert "80 more" in found[-1].detail


@pytest.mark.parametrize(
    ("values", "target", "place", "code"),
    [
        (["a"] * 40, {}, "column", "one_class"),
        ([f"id {n}" for n in range(40)], {}, "column", "too_many_classes"),
        (np.linspace(0, 1, 40), {}, "column", "too_many_classes"),
        ([None] * 40, {}, "column", "empty_column"),
        (["a", "b", None, "a"] * 10, {}, "missing", "missing_values"),
        (np.zeros((40, 2)), {}, "column", "wrong_type"),
        (["a", "b"] * 20, {"type": "number"}, "column", "not_a_number"),
        (["a", "b"] * 20, {"column": "Y"}, "column", "unknown_column"),
        (["a", "b"] * 20, {"classes": ["a", "b", "a"]}, "classes/2", "duplicate_class"),
        (["a", "b"] * 20, {"classes": ["a", "bb"]}, "classes", "undeclared_class"),
    ],
)
def test_what_a_target_cannot_be(values, target, place, code):
    made = table(x=list(range(40)), y=values)

    found, _ = problems(made, target={"type": "category", "column": "y"} | target)

    assert found == {f"/data/target/{place}": code}


def test_yes_and_no_without_quotes_are_explained():
    made = things(y=["yes", "no", "yes", "no"])
    target = {"type": "category", "column": "y", "classes": [False, True]}

    _, found = problems(made, target=target)

    assert "quotes" in found[0].hint


@pytest.mark.parametrize(
    ("split", "pointer", "code"),
    [
        ({"train": 0.9, "test": 0.1}, "/test", "empty_part"),
        ({"column": "z", "train": "a", "test": "c"}, "", "unassigned_rows"),
        ({"column": "z", "train": "aa", "test": ["b", "c"]}, "/train", "unknown_value"),
        ({"column": "x", "train": 1, "test": [2, 3], "validation": 4.5e-1}, "", "unassigned_rows"),
        ({"column": "z", "test": ["a", "b", "c"]}, "/train", "empty_part"),
        ({"train": 0.5, "test": 0.5, "stratify": True}, "/stratify", "too_few_rows"),
        ({"column": "id", "test": "7"}, "/column", "too_many_values"),
        ({"column": "image", "test": "7"}, "/column", "too_many_values"),
    ],
)
def test_what_a_split_cannot_be(split, pointer, code):
    made = things(
        y=["a", "b", "a", "a"],
        z=["a", "b", "a", "c"],
        id=["i" * 300, "j", "k", "l"],
        image=np.zeros((4, 2, 2)),
    )

    found, _ = problems(made, split=split)

    assert found["/data/split" + pointer] == code


def test_rows_of_no_part_may_be_left_out():
    split = {"column": "y", "train": "a", "rest": "ignore"}
    made = table(x=[1, 2, 3, 4], y=["a", "b", "a", "b"], t=["u", "v", "v", "u"])
    target = {"type": "category", "column": "t"}

    found = describe(data_spec(split=split, target=target), profile(made))

    assert (found.rows.train, found.rows.test) == (2, 0)


def test_numbers_cannot_be_stratified():
    target = {"type": "number", "column": "x"}
    inputs = {"y": {"type": "category"}}

    found, _ = problems(things(), inputs=inputs, target=target, split={"stratify": True})

    assert found == {"/data/split/stratify": "wrong_type"}


def test_dropping_rows_and_splitting_by_a_column_do_not_go_together():
    made = things(y=["a", "b", None, "a"], z=["u", "u", "v", "v"])
    target = {"type": "category", "column": "y", "missing": "drop"}

    found, _ = problems(made, target=target, split={"column": "z", "test": "v"})

    assert found == {"/data/target/missing": "unsupported"}


def test_more_values_than_were_counted_need_a_limit():
    made = table(x=np.random.default_rng(0).normal(size=1_100_000), y=[0, 1] * 550_000)
    inputs = {"x": {"type": "category"}}

    assert problems(made, inputs=inputs)[0] == {"/data/inputs/x": "too_many_categories"}
    assert problems(made, inputs={"x": {"type": "category", "limit": 10}})[0] == {}


def test_describe_raises_with_all_problems():
    with pytest.raises(Invalid) as caught:
        describe(data_spec(inputs={"q": {"type": "number"}}), profile(things()))

    assert caught.value.problems[0].pointer == "/data/inputs/q"


def test_a_thousand_columns_are_checked_in_milliseconds():
    made = table(y=["a", "b"] * 5, **{f"p{n}": list(range(10)) for n in range(1000)})
    spec = data_spec(inputs={"x": {"type": "number", "columns": "p*"}})
    found = profile(made)

    start = time.perf_counter()
    assert describe(spec, found).inputs["x"].shape == [1000]
    assert time.perf_counter() - start < 0.5

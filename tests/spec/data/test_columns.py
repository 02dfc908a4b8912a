from hypothesis import given, strategies as st

from spec.data.columns import natural, resolve
from spec.data.config import CategoryInput, NumberInput

KNOWN = ["age", "pixel_10", "pixel_2", "pixel_1", "height", "weird[1]", "a/b"]


def found(name="x", **parts):
    return resolve(name, NumberInput(type="number", **parts), KNOWN)


def test_the_column_named_like_the_input():
    assert found("age") == (["age"], [])


def test_a_glob_in_natural_order():
    assert found(columns="pixel_*")[0] == ["pixel_1", "pixel_2", "pixel_10"]


def test_a_list_of_names_and_globs_keeps_its_order_and_names_each_once():
    names, problems = found(columns=["height", "pixel_?", "pixel_1", "age"])

    assert names == ["height", "pixel_1", "pixel_2", "age"]
    assert problems == []


def test_a_name_that_looks_like_a_glob_is_a_name_first():
    assert found(columns=["weird[1]"])[0] == ["weird[1]"]


def test_unknown_names_get_a_pointer_and_a_suggestion():
    _, (first,) = found(column="hight")
    _, (second, third) = found(columns=["age", "heigt", "q*"])
    _, (fourth,) = found("agee")

    assert (first.pointer, first.hint) == ("/data/inputs/x/column", "did you mean 'height'?")
    assert (second.pointer, second.hint) == ("/data/inputs/x/columns/1", "did you mean 'height'?")
    assert third.pointer == "/data/inputs/x/columns/2"
    assert (fourth.pointer, fourth.hint) == ("/data/inputs/agee", "did you mean 'age'?")


def test_another_case_is_suggested():
    given_ = CategoryInput(type="category", column="AGE")

    _, (problem,) = resolve("x", given_, KNOWN)

    assert problem.hint == "did you mean 'age'?"


@given(st.lists(st.integers(0, 2000), unique=True))
def test_numbers_in_names_sort_as_numbers(numbers):
    names = [f"p{n}_q" for n in numbers]

    assert sorted(names, key=natural) == [f"p{n}_q" for n in sorted(numbers)]


@given(st.lists(st.text(max_size=6)), st.randoms())
def test_any_names_can_be_sorted(names, shuffling):
    shuffled = list(names)
    shuffling.shuffle(shuffled)

    found = sorted(shuffled, key=natural)

    assert [natural(name) for name in found] == [
        natural(name) for name in sorted(names, key=natural)
    ]

import json
import time

import numpy as np
from hypothesis import given, settings, strategies as st

from spec.data.profile import DataProfile, profile
from spec.data.statistics import moments
from tests.spec.data.files import put
from tests.spec.data.tables import people, table


def one(values, name="c"):
    return profile(table(**{name: values})).columns[0]


def codes(found):
    return {(warning.column, warning.code) for warning in found.warnings}


def test_numbers():
    found = one([1, 2, 2, 3, None])

    assert (found.type, found.dtype, found.missing) == ("number", "uint8", 1)
    assert (found.min, found.max, found.mean, found.distinct) == (1, 3, 2, 3)
    assert found.std == np.std([1, 2, 2, 3])
    assert [(c.value, c.count) for c in found.categories] == [(2, 2), (1, 1), (3, 1)]
    assert found.rarest == 1
    assert found.quantiles["0.5"] == 2


def test_floats_that_are_not_finite_are_counted():
    found = one(np.array([1.0, np.nan, np.inf, -np.inf, 3.0]))

    assert (found.missing, found.nonfinite, found.infinite) == (1, 3, 2)
    assert (found.min, found.max, found.mean) == (1, 3, 2)


def test_text_and_categories_are_told_apart():
    few = one(["a", "b"] * 10)
    many = one([f"id {n}" for n in range(300)])

    assert (few.type, few.distinct, few.complete) == ("category", 2, True)
    assert (many.type, many.distinct, many.complete) == ("text", 300, False)
    assert len(many.categories) == 100


def test_truth_values():
    assert one([True, False, True]).type == "bool"
    assert one(["True", "False", "True"]).type == "bool"


def test_the_first_cell_that_is_no_number_is_named():
    found = profile(table(pay=["1", "2", "abc", "4", "x"]))

    assert found.columns[0].texts == 2
    assert found.columns[0].first_text.model_dump() == {"file": 0, "row": 3, "value": "abc"}
    assert ("pay", "mostly_numbers") in codes(found)
    assert "row 3: 'abc'" in found.warnings[0].detail


def test_the_row_counts_within_its_file(tmp_path):
    files = [put(tmp_path, "a\n1\n2\n", "one.csv"), put(tmp_path, "a\n3\nx\n", "two.csv")]

    cell = profile(files).columns[0].first_text

    assert (cell.file, cell.row) == (1, 2)


def test_codes_say_why_they_are_text(tmp_path):
    found = profile([put(tmp_path, "zip\n00501\n90210\n")]).columns[0]

    assert found.numeric
    assert "'00501'" in found.reason


def test_what_is_worth_a_look():
    found = profile(
        table(
            same=[1] * 30,
            id=list(range(30)),
            key=[f"k{n}" for n in range(30)],
            x=np.linspace(0, 1, 30),
            none=[None] * 30,
            far=np.array([np.inf] + [1.0, 2.0] * 14 + [1.0]),
        )
    )

    assert codes(found) == {
        ("same", "constant"),
        ("id", "unique"),
        ("key", "unique"),
        ("none", "empty"),
        ("far", "infinite"),
    }


def test_images_and_vectors():
    found = profile(people())

    photo, vector = found.column("photo"), found.column("vector")
    assert (photo.type, photo.shape, photo.dtype) == ("image", [4, 5, 3], "uint8")
    assert (vector.type, vector.shape) == ("number", [3])
    assert 0 <= photo.min < photo.max <= 255
    holed = one(np.array([[[1.0, np.nan]], [[np.inf, 2.0]]]))
    assert (holed.nonfinite, holed.infinite, holed.max) == (2, 1, 2)


def test_a_profile_survives_json():
    found = profile(people())

    document = json.loads(json.dumps(found.to_json(), allow_nan=False))

    assert DataProfile.from_json(document) == found


def test_only_the_columns_asked_for():
    assert [c.name for c in profile(people(), columns=["age", "job"]).columns] == ["age", "job"]


def test_a_long_word_is_cut_and_its_list_is_not_complete():
    found = one(["x" * 500, "y"] * 5)

    assert found.longest == 500
    assert max(len(c.value) for c in found.categories) == 200
    assert not found.complete


def test_sixty_thousand_images_as_pixel_columns_take_seconds():
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (784, 60_000), dtype=np.uint8)
    wide = table(**{f"pixel_{n}": pixels[n] for n in range(784)})

    start = time.perf_counter()
    found = profile(wide)

    assert time.perf_counter() - start < 10
    assert found.rows == 60_000
    assert found.columns[783].distinct == 256


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-100_000, 100_000) | st.floats(-1e6, 1e6), min_size=1))
def test_statistics_agree_with_numpy(values):
    array = np.array(values)
    found = one(array)

    assert (found.min, found.max) == (array.min(), array.max())
    assert np.isclose(found.mean, array.mean(), rtol=1e-9, atol=1e-6)
    assert np.isclose(found.std, array.std(), rtol=1e-6, atol=1e-6)
    assert found.distinct == len(np.unique(array))
    lower = np.quantile(array, 0.75, method="inverted_cdf")
    assert found.quantiles["0.75"] == lower


def test_large_columns_are_sampled_and_say_so():
    found = one(np.random.default_rng(0).normal(size=1_500_000))

    assert not found.distinct_exact
    assert found.categories is None
    assert abs(found.mean) < 0.01
    assert abs(found.quantiles["0.5"]) < 0.01


def test_moments_leave_out_nan_and_do_not_lose_digits():
    values = np.array([[1e9 + 1, np.nan], [1e9 + 2, 5.0], [1e9 + 3, 7.0]])

    mean, std = moments(values)

    assert mean.tolist() == [1e9 + 2, 6.0]
    assert np.allclose(std, [np.sqrt(2 / 3), 1.0], rtol=1e-12)

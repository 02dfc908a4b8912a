import zipfile
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from core.errors import Invalid
from spec.data.limits import Limits
from spec.data.reading import read
from spec.data.tables import Arrays
from tests.spec.data.files import SMALL, npy_header, npz, put, refused, values, zipped


def test_arrays_of_equal_length_become_columns(tmp_path):
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    content = npz(
        image=images,
        label=np.array([3, 300]),
        name=np.array(["é ", ""]),
        raw=np.array([b"a", b"b"]),
        yes=np.array([True, False]),
        x=np.array([1.5, np.nan], ">f8"),
    )

    table = read([put(tmp_path, content, "data.npz")])

    assert table.format == "npz"
    assert isinstance(table.columns["image"], Arrays)
    assert np.array_equal(table.columns["image"].values, images)
    assert values(table, "label") == [3, 300]
    assert table.columns["label"].values.dtype == np.int16
    assert values(table, "name") == ["é", None]
    assert values(table, "raw") == ["a", "b"]
    assert values(table, "yes") == [True, False]
    assert values(table, "x") == [1.5, None]
    assert table.columns["x"].values.dtype == np.dtype("=f8")


def test_fortran_order(tmp_path):
    array = np.asfortranarray(np.arange(24, dtype=np.int16).reshape(4, 3, 2))

    table = read([put(tmp_path, npz(a=array), "data.npz")])

    assert np.array_equal(table.columns["a"].values, array)
    assert table.columns["a"].values.flags.c_contiguous


@pytest.mark.parametrize("names", ["{part}_{name}", "{name}_{part}"])
def test_arrays_named_by_part_give_a_split(tmp_path, names):
    arrays = {
        names.format(part=part, name=name): np.full(rows, rows)
        for part, rows in (("train", 3), ("test", 2))
        for name in ("x", "y")
    }

    table = read([put(tmp_path, npz(**arrays), "data.npz")])

    assert values(table, "x") == [3, 3, 3, 2, 2]
    assert values(table, "split") == ["train"] * 3 + ["test"] * 2


def test_uneven_arrays_are_named_with_their_shapes(tmp_path):
    content = npz(a=np.zeros(3), b=np.zeros((2, 2)))

    with pytest.raises(Invalid) as caught:
        read([put(tmp_path, content, "data.npz")])

    assert [problem.pointer for problem in caught.value.problems] == [
        "/files/0/columns/a",
        "/files/0/columns/b",
    ]
    assert caught.value.problems[1].got == "shape [2, 2]"


def test_pickles_are_never_loaded(tmp_path):
    content = npz(a=np.array([{"x": 1}, None], dtype=object))

    problem = refused(put(tmp_path, content, "data.npz"))

    assert (problem.code, problem.pointer) == ("pickle", "/files/0/columns/a")


def test_a_raw_pickle_is_not_an_array(tmp_path):
    content = zipped({"a.npy": b"\x80\x04\x95" + b"x" * 100})

    assert refused(put(tmp_path, content, "data.npz")).code == "corrupt"


@pytest.mark.parametrize(
    "shape", [(1 << 50,), (1 << 30, 1 << 30), (3, 1 << 62, 1 << 62), (10**30,)]
)
def test_a_header_of_petabytes_allocates_nothing(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    content = zipped({"a.npy": npy_header(header) + b"\0" * 64})

    problem = refused(put(tmp_path, content, "data.npz"))

    assert problem.code == "too_large"
    assert problem.pointer == "/files/0/columns/a"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", "bad_shape"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", "bad_shape"),
        ("{'descr': '<c16', 'fortran_order': False, 'shape': (2,), }", "unsupported_type"),
        ("{'descr': [('a','<i4')], 'fortran_order': False, 'shape': (2,), }", "unsupported_type"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "pickle"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1000,), }", "truncated"),
        ("{'descr': 'rubbish', 'fortran_order': False, 'shape': (2,), }", "corrupt"),
        ("(" * 3000 + ")" * 3000, "corrupt"),
        ("not a header", "corrupt"),
    ],
)
def test_strange_headers(tmp_path, header, code):
    content = zipped({"a.npy": npy_header(header) + b"\0" * 64})

    assert refused(put(tmp_path, content, "data.npz")).code == code


def test_a_zip_bomb_is_refused_before_it_is_opened(tmp_path):
    content = npz(a=np.zeros(9_000_000))

    assert len(content) < 500_000
    problem = refused(put(tmp_path, content, "data.npz"))
    assert problem.code == "compression_bomb"


def test_the_arrays_together_must_fit(tmp_path):
    content = npz(**{f"a{n}": np.zeros((30, 1000), np.float64) for n in range(5)})

    assert refused(put(tmp_path, content, "data.npz"), limits=SMALL).code == "too_large"


def test_too_many_members(tmp_path):
    content = zipped({f"a{n}.npy": b"" for n in range(300)})

    problem = refused(put(tmp_path, content, "data.npz"), limits=Limits(max_members=100))

    assert problem.code == "too_many_members"


def test_a_member_that_is_longer_than_its_header(tmp_path):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }"
    content = zipped({"a.npy": npy_header(header) + b"\1" * 3})

    assert refused(put(tmp_path, content, "data.npz")).code == "corrupt"


def test_damaged_archives(tmp_path):
    whole = npz(a=np.random.default_rng(0).normal(size=5000))

    assert refused(put(tmp_path, whole[:-100], "data.npz")).code == "corrupt"
    flipped = whole[:2000] + bytes([whole[2000] ^ 0xFF]) + whole[2001:]
    assert refused(put(tmp_path, flipped, "data.npz")).code == "corrupt"


def test_other_archives_are_told_apart(tmp_path):
    workbook = zipped({"xl/workbook.xml": b"<x/>"})
    assert "Excel" in refused(put(tmp_path, workbook, "data.npz")).detail
    assert refused(put(tmp_path, zipped({"a.txt": b"x"}), "data.npz")).code == "unknown_format"
    assert refused(put(tmp_path, zipped({}), "data.npz")).code == "no_columns"


def test_the_same_name_twice(tmp_path):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", b"")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", b"")

    assert refused(put(tmp_path, buffer.getvalue(), "data.npz")).code == "duplicate_column"


def test_several_files_are_one_table(tmp_path):
    files = [
        put(tmp_path, npz(a=np.array([1, 2])), "one.npz"),
        put(tmp_path, npz(a=np.array([3.5])), "two.npz"),
    ]

    assert values(read(files), "a") == [1.0, 2.0, 3.5]
    other = put(tmp_path, npz(b=np.array([1])), "other.npz")
    assert refused(files[0], other).pointer == "/files/1"


def test_text_that_is_not_unicode(tmp_path):
    broken = np.array([b"\xff\xfe"])
    beyond = np.array([0x110000, 1], np.uint32).view("<U1")

    assert refused(put(tmp_path, npz(a=broken), "data.npz")).code == "encoding"
    assert refused(put(tmp_path, npz(a=beyond), "data.npz")).code == "encoding"


def test_only_the_first_rows_are_read_where_that_is_enough(tmp_path):
    content = npz(a=np.arange(20).reshape(10, 2), b=np.asfortranarray(np.ones((10, 3))))

    table = read([put(tmp_path, content, "data.npz")], first=4)

    assert table.rows == 4
    assert values(table, "a") == [[0, 1], [2, 3], [4, 5], [6, 7]]


@settings(max_examples=50, deadline=None)
@given(
    array=hnp.arrays(
        st.sampled_from([np.uint8, np.int32, np.float32, np.float64, ">i2", bool]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=4),
    )
)
def test_arrays_come_back_to_the_last_bit(tmp_path_factory, array):
    content = npz(a=array)

    found = read([put(tmp_path_factory.mktemp("npz"), content, "data.npz")]).columns["a"].values

    assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")
    assert found.dtype == array.dtype.newbyteorder("=")

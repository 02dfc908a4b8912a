import numpy as np
import pytest

from core.errors import Invalid
from spec.data.limits import Limits
from spec.data.reading import read
from tests.spec.data.files import gz, idx, npz, put, refused, values

CSV = "a,b\n1,x\n"


def test_the_content_tells_the_format_of_an_unknown_name(tmp_path):
    assert read([put(tmp_path, CSV, "adult.data")]).format == "csv"
    assert read([put(tmp_path, npz(a=np.ones(2)), "blob")]).format == "npz"
    assert read([put(tmp_path, gz(CSV.encode()), "things.gz")]).format == "csv"
    assert read([put(tmp_path, idx(np.ones((2, 2, 2))), "images")]).format == "idx"


@pytest.mark.parametrize("name", ["data.parquet", "data.npz", "train-images-idx3-ubyte"])
def test_a_name_that_disagrees_with_the_content(tmp_path, name):
    problem = refused(put(tmp_path, CSV, name))

    assert (problem.code, problem.pointer, problem.got) == ("format_mismatch", "/files/0", "csv")


def test_the_format_given_wins_over_the_name(tmp_path):
    file = put(tmp_path, CSV, "data.npz")

    assert values(read([file], format="csv"), "b") == ["x"]
    assert refused(file, format="parquet").code == "format_mismatch"


@pytest.mark.parametrize(
    ("magic", "what"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\x93NUMPY\x01\x00", "NumPy array"),
        (b"%PDF-1.7\n", "PDF"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\x80\x04\x95", "pickle"),
    ],
)
def test_other_kinds_of_files_are_named(tmp_path, magic, what):
    problem = refused(put(tmp_path, magic + b"\0" * 50, "data"))

    assert problem.code == "unknown_format"
    assert what in problem.detail
    assert problem.hint


def test_formats_are_not_mixed(tmp_path):
    problem = refused(put(tmp_path, CSV), put(tmp_path, npz(a=np.ones(1)), "b.npz"))

    assert (problem.code, problem.pointer) == ("mixed_formats", "/files/1")


def test_no_files_and_too_many(tmp_path):
    file = put(tmp_path, CSV)

    assert refused().code == "no_files"
    assert refused(file, file, limits=Limits(max_files=1)).code == "too_many_files"


def test_a_file_column_that_is_there_already(tmp_path):
    problem = refused(put(tmp_path, CSV), options={"file_column": "a"})

    assert problem.pointer == "/options/file_column"


def test_options_of_another_format(tmp_path):
    with pytest.raises(Invalid) as caught:
        read([put(tmp_path, npz(a=np.ones(1)), "a.npz")], options={"delimiter": ";"})

    assert caught.value.problems[0].pointer == "/options/delimiter"

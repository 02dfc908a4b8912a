import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from core.errors import Invalid
from spec.data.limits import Limits
from spec.data.reading import read
from spec.data.sources import DataFile
from tests.spec.data.files import SMALL, outcome, put, refused, values


def parquet(folder, table, name="data.parquet", **options):
    pq.write_table(table, folder / name, **options)
    return DataFile(name, folder / name)


def test_columns_of_all_kinds(tmp_path):
    table = pa.table(
        {
            "n": pa.array([1, None, 300], pa.int64()),
            "x": pa.array([1.5, float("nan"), None]),
            "t": ["a", None, " b "],
            "f": [True, False, None],
            "d": pa.array([Decimal("1.50"), None, Decimal("2.25")]),
            "c": pa.array(["u", "v", "u"]).dictionary_encode(),
            "day": [datetime.date(2024, 1, 2), None, datetime.date(2024, 1, 3)],
            "none": pa.nulls(3),
        }
    )

    found = read([parquet(tmp_path, table)])

    assert found.format == "parquet"
    assert values(found, "n") == [1, None, 300]
    assert found.columns["n"].values.dtype == np.int16
    assert values(found, "x") == [1.5, None, None]
    assert found.columns["x"].nan == 1
    assert values(found, "t") == ["a", None, "b"]
    assert values(found, "f") == [True, False, None]
    assert values(found, "d") == [1.5, None, 2.25]
    assert values(found, "c") == ["u", "v", "u"]
    assert values(found, "day") == ["2024-01-02", None, "2024-01-03"]
    assert values(found, "none") == [None, None, None]


def test_row_groups_and_files_are_put_together(tmp_path):
    rows = 5000
    words = [f"word {n % 700}" for n in range(rows)]
    table = pa.table({"n": np.arange(rows), "t": words})
    files = [
        parquet(tmp_path, table, "one.parquet", row_group_size=999),
        parquet(tmp_path, table.slice(0, 10), "two.parquet", use_dictionary=False),
    ]

    found = read(files)

    assert values(found, "n") == [*range(rows), *range(10)]
    assert values(found, "t") == words + words[:10]
    assert found.locate(rows) == (1, 1)


def test_nested_and_binary_columns_are_refused_by_name(tmp_path):
    table = pa.table({"ok": [1], "list": [[1, 2]], "struct": [{"a": 1}], "bytes": [b"x"]})

    with pytest.raises(Invalid) as caught:
        read([parquet(tmp_path, table)])

    pointers = [problem.pointer for problem in caught.value.problems]
    assert pointers == [f"/files/0/columns/{name}" for name in ("list", "struct", "bytes")]


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_breaks_off(tmp_path, keep):
    table = pa.table({"n": np.random.default_rng(0).normal(size=2000)})
    whole = (tmp_path / parquet(tmp_path, table).name).read_bytes()

    problem = refused(put(tmp_path, whole[: int(len(whole) * keep)], "cut.parquet"))

    assert problem.code == "corrupt"
    assert problem.pointer == "/files/0"
    assert "upload it again" in problem.hint


def test_text_that_is_not_unicode(tmp_path):
    table = pa.table({"t": ["abcd", "efgh"] * 10})
    path = tmp_path / parquet(tmp_path, table, compression="none", use_dictionary=False).name
    content = path.read_bytes().replace(b"abcd", b"ab\xff\xfe")

    assert refused(put(tmp_path, content, "damaged.parquet")).code == "corrupt"


def test_damaged_pages(tmp_path):
    table = pa.table({"n": np.random.default_rng(0).normal(size=20_000)})
    path = tmp_path / parquet(tmp_path, table, write_page_checksum=True).name
    content = bytearray(path.read_bytes())
    content[4000:6000] = b"\xff" * 2000

    assert refused(put(tmp_path, bytes(content), "damaged.parquet")).code == "corrupt"


def test_a_word_repeated_in_every_row_is_held_once(tmp_path):
    """A small file whose text would take 50 MB spread out."""
    file = parquet(tmp_path, pa.table({"t": pa.array(["x" * 500_000] * 100)}), compression="zstd")

    table = read([file], limits=Limits(max_decoded_bytes=4_000_000))

    assert len(table.columns["t"].words) == 1
    assert table.rows == 100


def test_numbers_are_counted_in_full_whatever_the_file_says(tmp_path):
    """Dictionary pages hide the size: 4 million zeros take a few kilobytes in the file."""
    zeros = pa.table({"z": np.zeros(4_000_000)})
    file = parquet(tmp_path, zeros, compression="zstd")
    stored = pq.ParquetFile(file.path).metadata.row_group(0).total_byte_size
    limits = Limits(max_decoded_bytes=20_000_000)

    problem = refused(file, limits=limits)

    assert stored < limits.max_decoded_bytes
    assert (problem.code, problem.got) == ("too_large", 32_000_000)


def test_a_page_that_decompresses_beyond_belief(tmp_path):
    text = pa.table({"t": pa.array(["x" * 1_000_000] * 100)})
    file = parquet(tmp_path, text, compression="zstd", use_dictionary=False)

    assert refused(file).code == "compression_bomb"


def test_limits_on_rows_and_columns(tmp_path):
    rows = parquet(tmp_path, pa.table({"n": np.zeros(2000, np.int8)}), "rows.parquet")
    wide = pa.table({f"c{n}": [1] for n in range(60)})

    assert "1000 rows" in refused(rows, limits=SMALL).detail
    assert "50 columns" in refused(parquet(tmp_path, wide), limits=SMALL).detail


def test_files_of_one_dataset_have_the_same_types(tmp_path):
    files = [
        parquet(tmp_path, pa.table({"a": [1]}), "one.parquet"),
        parquet(tmp_path, pa.table({"a": ["x"]}), "two.parquet"),
    ]

    problem = refused(*files)

    assert (problem.code, problem.pointer) == ("other_columns", "/files/1")
    assert (problem.expected, problem.got) == ("a: number", "a: text")


def test_a_file_without_rows(tmp_path):
    empty = pa.table({"a": pa.array([], pa.int64())})

    assert refused(parquet(tmp_path, empty)).code == "no_rows"


def test_only_the_first_rows_are_read_where_that_is_enough(tmp_path):
    file = parquet(tmp_path, pa.table({"n": np.arange(100_000)}))

    assert read([file], first=7).rows == 7


@settings(max_examples=30, deadline=None)
@given(
    numbers=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1),
    words=st.lists(st.none() | st.sampled_from(["a", "b", "é"]), min_size=1),
)
def test_what_was_written_comes_back(tmp_path_factory, numbers, words):
    length = min(len(numbers), len(words))
    numbers, words = numbers[:length], words[:length]
    table = pa.table({"n": pa.array(numbers, pa.int64()), "t": pa.array(words, pa.string())})

    found = read([parquet(tmp_path_factory.mktemp("parquet"), table)])

    assert values(found, "n") == numbers
    assert values(found, "t") == words


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_flipped_bytes_are_a_table_or_an_invalid_never_a_traceback(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("parquet")
    table = pa.table({"n": np.arange(50), "t": [f"w{n % 5}" for n in range(50)]})
    content = bytearray((folder / parquet(folder, table).name).read_bytes())
    for _ in range(3):
        content[data.draw(st.integers(4, len(content) - 5))] = data.draw(st.integers(0, 255))

    found = outcome(put(folder, bytes(content), "flipped.parquet"), limits=SMALL)

    assert found.problems if isinstance(found, Invalid) else found.rows <= SMALL.max_rows

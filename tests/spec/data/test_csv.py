import csv
import io

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from sklearn.datasets import load_digits

from core.errors import Invalid
from spec.data.limits import Limits
from spec.data.reading import read
from spec.data.tables import Texts
from tests.spec.data.files import SMALL, gz, outcome, put, refused, values


def test_numbers_and_text_get_the_smallest_types(tmp_path):
    table = read([put(tmp_path, "age,height,name\n1,1.5,ada\n300,2,bob\n")])

    assert table.rows == 2
    assert table.columns["age"].values.dtype == np.int16
    assert table.columns["height"].values.dtype == np.float64
    assert values(table, "name") == ["ada", "bob"]


def test_spaces_after_commas_and_missing_words(tmp_path):
    text = "age, job, pay\n 39, Clerk, 10\n ?, NA, \n 41,?, 12\n"

    table = read([put(tmp_path, text)])

    assert list(table.columns) == ["age", "job", "pay"]
    assert values(table, "age") == [39, None, 41]
    assert values(table, "job") == ["Clerk", None, None]
    assert values(table, "pay") == [10, None, 12]


def test_the_words_for_missing_values_can_be_chosen(tmp_path):
    file = put(tmp_path, "a,b\n-,?\n1,x\n,y\n")

    table = read([file], options={"missing": ["-"]})

    assert values(table, "a") == [None, 1, None]
    assert values(table, "b") == ["?", "x", "y"]


def test_quoted_values_hold_commas_breaks_and_quotes(tmp_path):
    text = 'name,note\n"Doe, Jane","said ""hi""\nand left"\n bob, "a, b"\n'

    table = read([put(tmp_path, text)])

    assert values(table, "name") == ["Doe, Jane", "bob"]
    assert values(table, "note") == ['said "hi"\nand left', "a, b"]


def test_a_quote_that_is_never_closed_is_an_error_and_not_a_short_table(tmp_path):
    problem = refused(put(tmp_path, 'a,b\n1,2\n"x,1\n2,3\n4,5\n'))

    assert problem.code == "bad_quotes"
    assert problem.pointer == "/files/0"
    assert "quotes: false" in problem.hint


def test_quotes_can_be_ordinary_characters(tmp_path):
    file = put(tmp_path, 'kind\ttext\nham\t"Gimme a few\nspam\tcall now\n', "messages.tsv")

    assert refused(file).code == "bad_quotes"
    assert values(read([file], options={"quotes": False}), "text") == ['"Gimme a few', "call now"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path, delimiter):
    text = "\n".join(delimiter.join(row) for row in (["a", "b", "c"], ["1", "x y", "3"])) + "\n"

    table = read([put(tmp_path, text)])

    assert values(table, "b") == ["x y"]
    assert values(table, "c") == [3]


def test_decimal_commas(tmp_path):
    file = put(tmp_path, "a;b\n1,5;2\n-2,25;3\n")

    table = read([file], options={"decimal": ","})

    assert values(table, "a") == [1.5, -2.25]


def test_without_a_header_columns_are_numbered_or_named(tmp_path):
    file = put(tmp_path, "1,x\n2,y\n")

    assert list(read([file], options={"header": False}).columns) == ["column_1", "column_2"]
    named = read([file], options={"header": False, "names": ["n", "t"]})
    assert values(named, "n") == [1, 2]


def test_names_must_be_as_many_as_columns(tmp_path):
    problem = refused(put(tmp_path, "1,x\n"), options={"header": False, "names": ["n"]})

    assert (problem.code, problem.expected) == ("wrong_names", "2 names")


def test_a_data_row_taken_for_a_header_is_noticed(tmp_path):
    assert refused(put(tmp_path, "b,b,x\nb,o,x\n")).hint.endswith("header: false in the options")
    table = read([put(tmp_path, "39,State-gov\n50,Private\n")])
    assert "looks like data" in table.notes[0]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-8", "name\nJosé\n".encode()),
        ("utf-8", b"\xef\xbb\xbf" + "name\nJosé\n".encode()),
        ("latin-1", "name\nJosé\n".encode("latin-1")),
        ("windows-1252", "name\nJosé\n".encode("cp1252")),
    ],
)
def test_encodings(tmp_path, encoding, content):
    table = read([put(tmp_path, content)], options={"encoding": encoding})

    assert list(table.columns) == ["name"]
    assert values(table, "name") == ["José"]


def test_a_wrong_encoding_says_the_line(tmp_path):
    problem = refused(put(tmp_path, "name\nAnn\nJosé\n".encode("latin-1")))

    assert problem.code == "encoding"
    assert "line 3" in problem.detail
    assert "latin-1" in problem.hint
    assert refused(put(tmp_path, "a,b\n1,2\n".encode("utf-16"))).got == "utf-16"


@pytest.mark.parametrize("quoted", [False, True])
def test_ragged_rows_are_named_with_their_counts(tmp_path, quoted):
    text = "a,b\n1,2\n3\n4,5\n6,7,8\n" + ('"x",1\n' if quoted else "x,1\n")

    with pytest.raises(Invalid) as caught:
        read([put(tmp_path, text)])

    pointers = [problem.pointer for problem in caught.value.problems]
    assert pointers == ["/files/0/rows/2", "/files/0/rows/4"]
    assert [problem.got for problem in caught.value.problems] == ["1 values", "3 values"]


def test_ragged_rows_far_down_keep_their_number(tmp_path):
    rows = ["a,b", *(f"{n},{n}" for n in range(1, 50_001)), "1,2,3"]
    limits = Limits(max_line_bytes=10_000)

    problem = refused(put(tmp_path, "\n".join(rows)), limits=limits)

    assert problem.pointer == "/files/0/rows/50001"


def test_many_ragged_rows_are_counted_and_the_first_shown(tmp_path):
    with pytest.raises(Invalid) as caught:
        read([put(tmp_path, "a,b\n" + "1\n" * 5000)])

    assert len(caught.value.problems) == 10
    assert "rows have the wrong number of values" in caught.value.detail


def test_one_enormous_line(tmp_path):
    problem = refused(put(tmp_path, b"a,b\n1," + b"x" * (8 << 20)))

    assert problem.code == "line_too_long"
    assert "line 2" in problem.detail


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\n\n\n", "empty_file"),
        (b"a,b\n", "no_rows"),
        (b"a,b", "no_rows"),
        (b"a,b\n\n\n", "no_rows"),
        (b"a,b\n1,\x00\n", "not_text"),
        (bytes(range(256)) * 20, "not_text"),
        (b"a,a\n1,2\n", "duplicate_column"),
        (b"a," + b"b" * 300 + b"\n1,2\n", "long_name"),
    ],
)
def test_what_is_not_a_table_is_refused(tmp_path, content, code):
    problem = refused(put(tmp_path, content))

    assert problem.code == code
    assert problem.pointer.startswith("/files/0")


def test_limits_on_rows_columns_and_bytes(tmp_path):
    many = put(tmp_path, "a\n" + "1\n" * 2000, "rows.csv")
    wide = put(tmp_path, ",".join(f"c{n}" for n in range(60)) + "\n", "wide.csv")
    large = put(tmp_path, "a\n" + "x" * 5000 + "\n" + ("y" * 5000 + "\n") * 300, "large.csv")

    assert "1000 rows" in refused(many, limits=SMALL).detail
    assert "50 columns" in refused(wide, limits=SMALL).detail
    assert "decoded bytes" in refused(large, limits=SMALL).detail


def test_the_limits_hold_for_all_files_together(tmp_path):
    files = [put(tmp_path, "a\n" + "1\n" * 600, f"{n}.csv") for n in range(2)]

    assert read(files[:1], limits=SMALL).rows == 600
    assert refused(*files, limits=SMALL).pointer == "/files/1"


def test_several_files_are_one_table(tmp_path):
    files = [put(tmp_path, "a,b\n1,x\n", "one.csv"), put(tmp_path, "b,a\ny,2.5\n", "two.csv")]

    table = read(files, options={"file_column": "file"})

    assert values(table, "a") == [1.0, 2.5]
    assert values(table, "b") == ["x", "y"]
    assert values(table, "file") == ["one.csv", "two.csv"]
    assert table.locate(1) == (1, 1)


def test_files_with_other_columns_do_not_go_together(tmp_path):
    files = [put(tmp_path, "a,b\n1,x\n", "one.csv"), put(tmp_path, "a,c\n1,x\n", "two.csv")]

    problem = refused(*files)

    assert (problem.code, problem.pointer) == ("other_columns", "/files/1")


def test_a_column_that_is_text_in_the_second_file_is_text_in_both(tmp_path):
    files = [put(tmp_path, "a\n1.50\n", "one.csv"), put(tmp_path, "a\nx\n", "two.csv")]

    assert values(read(files), "a") == ["1.50", "x"]


def test_codes_with_leading_zeros_stay_text(tmp_path):
    table = read([put(tmp_path, "zip,n\n00501,1\n90210,2\n")])

    assert values(table, "zip") == ["00501", "90210"]
    assert "'00501'" in table.columns["zip"].why


@pytest.mark.parametrize("text", ["+5", "5.", ".5", "5e3", "-0.0", "1E-3"])
def test_spellings_of_numbers(tmp_path, text):
    assert values(read([put(tmp_path, f"a\n{text}\n2\n")]), "a") == [float(text), 2.0]


@pytest.mark.parametrize("text", ["1,000", "0x10", "1_000", "1 2", "٣", "--1", "=1+1"])
def test_what_only_looks_like_a_number_is_text(tmp_path, text):
    table = read([put(tmp_path, f'a;b\n"{text}";1\n')], options={"delimiter": ";"})

    assert values(table, "a") == [text]


def test_infinity_is_a_number_and_nan_a_missing_value(tmp_path):
    assert values(read([put(tmp_path, "a\ninf\n-inf\nnan\n1\n")]), "a") == [
        float("inf"),
        float("-inf"),
        None,
        1.0,
    ]


def test_comments_and_trailing_characters(tmp_path):
    text = "| a comment\nage, income\n39, >50K.\n| more\n41, <=50K\n"

    table = read([put(tmp_path, text)], options={"comment": "|", "trailing": {"income": "."}})

    assert values(table, "income") == [">50K", "<=50K"]


def test_trailing_names_a_column_that_is_there(tmp_path):
    problem = refused(put(tmp_path, "income\n1\n"), options={"trailing": {"incone": "."}})

    assert problem.pointer == "/options/trailing/incone"
    assert problem.hint == "did you mean 'income'?"


def test_gzip(tmp_path):
    file = put(tmp_path, gz(b"a,b\n1,x\n"), "data.csv.gz")

    assert values(read([file]), "b") == ["x"]


def test_a_gzip_that_breaks_off(tmp_path):
    whole = gz(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(20_000)))

    assert refused(put(tmp_path, whole[: len(whole) // 2], "data.csv.gz")).code == "truncated"
    damaged = whole[:5000] + b"\xff" * 100 + whole[5100:]
    assert refused(put(tmp_path, damaged, "data.csv.gz")).code in ("corrupt", "encoding")


def test_a_gzip_bomb_is_noticed_while_reading(tmp_path):
    bomb = put(tmp_path, gz(b"a\n" + b"1\n" * (36 << 20)), "data.csv.gz")

    assert refused(bomb).code == "compression_bomb"
    assert refused(bomb, limits=SMALL).code == "too_large"


def test_line_ends_of_all_systems(tmp_path):
    for end in ("\n", "\r\n", "\r"):
        table = read([put(tmp_path, f"a,b{end}1,x{end}2,y{end}")])
        assert values(table, "b") == ["x", "y"]


def test_only_the_first_rows_are_read_where_that_is_enough(tmp_path):
    file = put(tmp_path, "a,b\n" + "1,x\n" * 10 + "a ragged, row, here\n")

    assert read([file], first=5).rows == 5


def test_unknown_options_are_named(tmp_path):
    with pytest.raises(Invalid) as caught:
        read([put(tmp_path, "a\n1\n")], options={"delimeter": ";", "header": "no"})

    assert {problem.pointer for problem in caught.value.problems} == {
        "/options/delimeter",
        "/options/header",
    }


def test_digits_as_csv(tmp_path):
    digits = load_digits()
    buffer = io.StringIO()
    names = [f"pixel_{n}" for n in range(64)]
    np.savetxt(buffer, digits.data, fmt="%d", delimiter=",", header=",".join(names), comments="")

    table = read([put(tmp_path, buffer.getvalue())])

    found = np.stack([table.columns[name].values for name in names], 1)
    assert np.array_equal(found, digits.data)
    assert found.dtype == np.uint8


PLAIN = st.text(
    st.characters(codec="utf-8", exclude_characters='\r\n\0",', exclude_categories=["Cs", "Cc"]),
    max_size=8,
)
ANY = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)


def written(rows: list[tuple[str, ...]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([tuple(f"c{n}" for n in range(len(rows[0]))), *rows])
    return buffer.getvalue()


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(ANY, ANY, st.just("end")), min_size=1, max_size=20))
def test_text_comes_back_as_it_was_written(tmp_path_factory, rows):
    file = put(tmp_path_factory.mktemp("csv"), written(rows))

    table = read([file], options={"delimiter": ",", "missing": []})

    for at in range(2):
        expected = [row[at].strip() for row in rows]
        if isinstance(table.columns[f"c{at}"], Texts):
            assert values(table, f"c{at}") == [text or None for text in expected]
        else:
            found = values(table, f"c{at}")
            assert found == [float(text) if text else None for text in expected]


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=20))
@example(rows=[("end", "bend")])
def test_both_ways_of_reading_agree(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("csv")
    plain, quoted = (
        read(
            [put(folder, "c0,c1,c2\n" + "".join(f"{a},{b},{last}\n" for a, b in rows))],
            options={"delimiter": ","},
        )
        for last in ("end", '"end"')
    )

    for name in ("c0", "c1", "c2"):
        assert values(plain, name) == values(quoted, name)


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1),
)
def test_numbers_come_back_to_the_last_bit(tmp_path_factory, numbers):
    rows = [("" if n is None else repr(n), "x") for n in numbers]
    table = read([put(tmp_path_factory.mktemp("csv"), written(rows))])

    assert values(table, "c0") == numbers


@settings(max_examples=300, deadline=None)
@given(
    content=st.binary(max_size=300) | st.text('a1,"\n\r; \t|é\ufeff', max_size=60).map(str.encode)
)
def test_garbage_is_a_table_or_an_invalid_never_a_traceback(tmp_path_factory, content):
    file = put(tmp_path_factory.mktemp("csv"), content)

    found = outcome(file, format="csv", limits=SMALL)

    if isinstance(found, Invalid):
        assert all(problem.pointer.startswith("/files") for problem in found.problems)
    else:
        assert found.rows > 0

"""Texts become documents, and nothing that hides, repeats or explodes does."""

import pytest

from core.errors import Invalid
from spec import documents


def problem(text: str | bytes, **options: object) -> tuple[str, str]:
    with pytest.raises(Invalid) as refused:
        documents.load(text, **options)
    (only,) = refused.value.problems
    return only.pointer, only.code


def test_json_and_yaml_of_one_document_are_equal() -> None:
    json = '{"a": [1, 2.5, true, null, "x"], "b": {"c": "1"}}'
    yaml = 'a: [1, 2.5, true, ~, x]\nb:\n  c: "1"\n'
    assert documents.load(json) == documents.load(yaml)


def test_yaml_scalars_follow_version_1_2() -> None:
    text = "[no, yes, on, 1e-3, 012, 2020-01-01, 1_000, 0x10, -7, .5, 1., True, Null, '5', 1:30]"
    assert documents.load(text, format="yaml") == [
        "no",
        "yes",
        "on",
        0.001,
        12,
        "2020-01-01",
        "1_000",
        "0x10",
        -7,
        0.5,
        1.0,
        True,
        None,
        "5",
        "1:30",
    ]


def test_keys_of_yaml_are_always_text() -> None:
    assert documents.load("1: a\ntrue: b\n") == {"1": "a", "true": "b"}


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert documents.load(b"\xef\xbb\xbfname: x") == {"name": "x"}


def test_a_text_in_braces_may_be_yaml() -> None:
    assert documents.load("{name: digits, sizes: [1, 2]}") == {"name": "digits", "sizes": [1, 2]}


def test_aliases_and_anchors_are_refused() -> None:
    assert problem("a: &x [1]\nb: *x\n") == ("/a", "alias")


def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    lines = ["a0: &a0 [x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert problem("\n".join(lines)) == ("/a0", "alias")


def test_tags_are_refused() -> None:
    assert problem("a: !!python/object/apply:os.system ['ls']") == ("/a", "tag")


@pytest.mark.parametrize("text", ['{"a": {"b": 1, "b": 2}}', "a: {b: 1, b: 2}"])
def test_a_key_given_twice_is_refused(text: str) -> None:
    assert problem(text)[1] == "duplicate_key"


def test_a_key_given_twice_in_yaml_has_a_pointer() -> None:
    assert problem("a:\n- {b: 1}\n- {c: 1, c: 2}\n") == ("/a/1/c", "duplicate_key")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 5_000, "- " * 500 + "x"])
def test_a_deep_document_is_refused(text: str) -> None:
    assert problem(text)[1] in ("too_deep", "bad_json")


def test_deep_json_is_refused_as_too_deep() -> None:
    (found,) = documents.faults(documents.load("[" * 200 + "]" * 200))
    assert found.code == "too_deep"


def test_a_text_over_the_limit_is_refused() -> None:
    assert problem("a: " + "x" * documents.MAX_BYTES["yaml"])[1] == "too_large"
    assert problem(b" " * (documents.MAX_BYTES["json"] + 1))[1] == "too_large"


def test_a_document_of_too_many_values_is_refused() -> None:
    assert problem("- \n" * (2 * documents.MAX_VALUES + 10))[1] == "too_large"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[1,", "bad_json"),
        ("a: [1\n", "bad_yaml"),
        ("", "bad_yaml"),
        ("a: 1\n---\nb: 2\n", "bad_yaml"),
        (b"\xff\xfe", "bad_encoding"),
        ("? [a]\n: b", "wrong_type"),
        ("[" + "9" * 5000 + "]", "out_of_range"),
    ],
)
def test_a_text_that_is_no_document_is_refused(text: str | bytes, code: str) -> None:
    assert problem(text)[1] == code


@pytest.mark.parametrize(
    ("value", "pointer", "code"),
    [
        ({"a": [1.0, float("nan")]}, "/a/1", "not_finite"),
        ({"a": float("inf")}, "/a", "not_finite"),
        ({"a": {"b": "x\x00"}}, "/a/b", "bad_text"),
        ({"a": "\ud800"}, "/a", "bad_text"),
        ({"a": {1: "x"}}, "/a", "wrong_type"),
        ({"a": {1, 2}}, "/a", "wrong_type"),
        ({"a/b": {"c~d": float("nan")}}, "/a~1b/c~0d", "not_finite"),
    ],
)
def test_what_json_cannot_carry_is_named(value: object, pointer: str, code: str) -> None:
    (found,) = documents.faults(value)
    assert (found.pointer, found.code) == (pointer, code)


def test_nan_in_a_text_is_found_at_its_place() -> None:
    for text in ('{"a": [NaN]}', "a: [.nan]"):
        (found,) = documents.faults(documents.load(text))
        assert (found.pointer, found.code) == ("/a/0", "not_finite")

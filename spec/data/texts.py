"""Columns of text, as they stand in a CSV file, turned into numbers where all of them are."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from spec.data.options import CsvOptions
from spec.data.tables import Column, Mask, Numbers, Texts, narrow, numbers

NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|Inf|INF|infinity|Infinity)$"
WHOLE = r"^[+-]?\d{1,18}$"
CODE = r"^[+-]?(0\d.*|\d{19,})$"


def column(chunks: list[Any], options: CsvOptions, name: str) -> Column:
    """One column from its dictionary-encoded pieces."""
    words, codes = _joined(chunks)
    words = pc.utf8_trim_whitespace(words)
    if name in options.trailing:
        words = pc.utf8_rtrim(words, options.trailing[name])
    words, codes = _distinct(words, codes, options.missing)
    if len(words) == 0:
        return Numbers(np.full(len(codes), np.nan), np.ones(len(codes), bool))
    spelled = pc.replace_substring(words, ",", ".") if options.decimal == "," else words
    if not pc.all(are_numbers(spelled)).as_py():
        return Texts(codes, words)
    coded = pc.match_substring_regex(words, CODE)
    if pc.any(coded).as_py():
        example = words.filter(coded)[0].as_py()
        return Texts(codes, words, f"{example!r} is a code: as a number it would read otherwise")
    return _numbers(spelled, codes)


def text_column(chunks: list[Any]) -> Texts:
    """A column that is text by its type, from dictionary-encoded pieces; "" is missing."""
    words, codes = _joined(chunks)
    words, codes = _distinct(pc.utf8_trim_whitespace(words), codes, [])
    return Texts(codes, words)


def are_numbers(words: Any) -> Any:
    """Which words are numbers, as a pyarrow array of truth values."""
    return pc.match_substring_regex(words, NUMBER)


def as_floats(words: Any, decimal: str = ".") -> tuple[NDArray[np.float64], Mask]:
    """The words that are numbers, and which are; NaN elsewhere."""
    if decimal == ",":
        words = pc.replace_substring(words, ",", ".")
    good = are_numbers(words)
    values = pc.if_else(good, words, "nan").cast(pa.float64())
    return values.to_numpy(zero_copy_only=False), good.to_numpy(zero_copy_only=False)


def is_number(text: str) -> bool:
    return re.match(NUMBER, text, re.ASCII) is not None


def _joined(chunks: list[Any]) -> tuple[Any, NDArray[np.int32]]:
    if not chunks:
        return pa.array([], pa.string()), np.empty(0, np.int32)
    whole = pa.chunked_array(chunks).unify_dictionaries()
    codes = np.concatenate([_codes(chunk) for chunk in whole.chunks])
    return whole.chunk(0).dictionary, codes


def _codes(chunk: Any) -> NDArray[np.int32]:
    indices = pc.fill_null(chunk.indices, -1).to_numpy(zero_copy_only=False)
    return np.asarray(indices, np.int32)


def _distinct(
    words: Any, codes: NDArray[np.int32], missing: list[str]
) -> tuple[Any, NDArray[np.int32]]:
    """Words without repetition and without those that stand for a missing value."""
    absent = pc.is_in(words, value_set=pa.array(["", *missing], pa.string()))
    kept = pc.if_else(absent, pa.scalar(None, pa.string()), words).dictionary_encode()
    changed = _codes(kept)
    if len(kept.dictionary) == len(words) and np.array_equal(changed, np.arange(len(words))):
        return words, codes
    changed = np.append(changed, np.int32(-1))
    return kept.dictionary, changed[codes]


def _numbers(words: Any, codes: NDArray[np.int32]) -> Numbers:
    absent = codes < 0
    if pc.all(pc.match_substring_regex(words, WHOLE)).as_py():
        whole = pc.utf8_ltrim(words, "+").cast(pa.int64())
        values = narrow(whole.to_numpy(zero_copy_only=False))
    else:
        values = words.cast(pa.float64()).to_numpy(zero_copy_only=False)
    taken = values[codes]
    return numbers(taken, absent if absent.any() else None)

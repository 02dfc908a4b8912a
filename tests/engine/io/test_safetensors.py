"""The safetensors format: round trips, files of the reference, and refusals that say where."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from engine.errors import DtypeError, FormatError
from engine.io import safetensors
from engine.io.header import CODES, MAX_HEADER_BYTES

KINDS = st.sampled_from(list(CODES))
ARRAYS = KINDS.flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda name: name != "__metadata__"
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def file_of(header: Any, numbers: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def entry(dtype: str = "U8", shape: Any = (1,), offsets: Any = (0, 1)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert set(first) == set(second)
    for name, array in first.items():
        assert second[name].dtype == array.dtype.newbyteorder("=")
        assert second[name].shape == array.shape
        assert second[name].tobytes() == np.asarray(array, order="C").tobytes()


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, ARRAYS, max_size=5), st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_what_is_saved_comes_back(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    found, words = safetensors.read(safetensors.save(arrays, metadata))
    assert_same(arrays, found)
    assert words == metadata


@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_comes_back_with_and_without_mapping(tmp_path: Path, mmap: bool) -> None:
    arrays = {"w": np.arange(6.0).reshape(2, 3), "b": np.array(True), "none": np.zeros((0, 4))}
    length = safetensors.save_file(arrays, tmp_path / "m.safetensors", {"a": "b"})
    assert length == (tmp_path / "m.safetensors").stat().st_size
    found = safetensors.load_file(tmp_path / "m.safetensors", mmap=mmap)
    assert_same(arrays, found)
    assert found["w"].flags.writeable is not mmap
    assert safetensors.read_file(tmp_path / "m.safetensors", mmap=mmap)[1] == {"a": "b"}


def test_loaded_arrays_own_their_memory_and_can_be_written() -> None:
    found = safetensors.load(safetensors.save({"w": np.zeros(3)}))
    found["w"][0] = 1.0
    assert found["w"].flags.owndata


def test_transposed_and_big_endian_arrays_are_stored_row_major_little_endian() -> None:
    arrays = {"t": np.arange(6, dtype=np.int16).reshape(2, 3).T, "big": np.array([1, 2], ">i4")}
    found = safetensors.load(safetensors.save(arrays))
    np.testing.assert_array_equal(found["t"], arrays["t"])
    np.testing.assert_array_equal(found["big"], [1, 2])


def test_every_array_is_aligned_to_its_width() -> None:
    arrays = {"a": np.ones(3, np.int8), "b": np.ones(1, np.float64), "c": np.ones(5, np.float16)}
    data = safetensors.save(arrays)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    for name, array in arrays.items():
        assert header[name]["data_offsets"][0] % array.itemsize == 0


def test_bfloat16_is_read_as_float32() -> None:
    numbers = np.array([1.0, -2.5, 3.0], np.float32)
    words = (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
    data = file_of({"x": entry("BF16", (3,), (0, 6))}, words)
    np.testing.assert_array_equal(safetensors.load(data)["x"], numbers)


def test_the_reference_reads_what_we_write_and_we_read_what_it_writes() -> None:
    reference = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(0)
    arrays = {
        f"x.{kind}": rng.integers(0, 2, (3, 4)).astype(kind) for kind in CODES if kind.kind != "c"
    }
    assert_same(arrays, reference.load(safetensors.save(arrays)))
    assert_same(arrays, safetensors.load(reference.save(arrays)))


MALFORMED = {
    "too short": (b"\x00" * 7, "7 bytes are too few"),
    "no header": (struct.pack("<Q", 0), "must start with"),
    "header over the limit": (struct.pack("<Q", MAX_HEADER_BYTES + 1), "the limit is"),
    "header past the end": (struct.pack("<Q", 10) + b"{}", "only 2 follow"),
    "leading space": (file_of(b" {}"), "must start with"),
    "not JSON": (file_of(b"{]"), "not JSON"),
    "not UTF-8": (file_of(b'{"\xff":1}'), "not JSON"),
    "too deep": (file_of(b'{"a":' + b"[" * 100_000), "not JSON"),
    "a number of many digits": (file_of(b'{"a":' + b"9" * 5000 + b"}"), "not JSON"),
    "NaN": (file_of(b'{"a":NaN}'), "NaN"),
    "a name twice": (file_of(b'{"a":1,"a":2}'), "'a' twice"),
    "a field twice": (file_of(b'{"a":{"dtype":"U8","dtype":"U8"}}'), "'dtype' twice"),
    "half a surrogate": (file_of(b'{"\\ud800":1}'), "not Unicode"),
    "metadata of numbers": (file_of({"__metadata__": {"a": 1}}), "/__metadata__"),
    "an entry that is a list": (file_of({"a": []}), "/a: expected dtype"),
    "a field too many": (file_of({"a": entry() | {"more": 1}}, b"0"), "/a: expected dtype"),
    "unknown dtype": (file_of({"a": entry("F8_E4M3")}, b"0"), "/a/dtype"),
    "dtype not a word": (file_of({"a": entry() | {"dtype": ["U8"]}}, b"0"), "/a/dtype"),
    "negative shape": (file_of({"a": entry(shape=(-1,))}, b"0"), "/a/shape"),
    "shape of floats": (file_of({"a": entry(shape=(1.0,))}, b"0"), "/a/shape"),
    "shape of booleans": (file_of({"a": entry(shape=(True,))}, b"0"), "/a/shape"),
    "shape of many axes": (file_of({"a": entry(shape=[1] * 65)}, b"0"), "/a/shape"),
    "shape too long": (file_of({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}), "/a/shape"),
    "offsets backwards": (file_of({"a": entry(offsets=(1, 0))}, b"0"), "/a/data_offsets"),
    "one offset": (file_of({"a": entry(offsets=(1,))}, b"0"), "/a/data_offsets"),
    "length against shape": (file_of({"a": entry(shape=(2,))}, b"0"), "takes 2 bytes, got 1"),
    "a hole": (
        file_of({"a": entry(), "b": entry(offsets=(2, 3))}, b"000"),
        "/b/data_offsets: a hole",
    ),
    "a hole at the start": (
        file_of({"b": entry(offsets=(1, 2))}, b"00"),
        "/b/data_offsets: a hole",
    ),
    "an overlap": (
        file_of({"a": entry(shape=(2,), offsets=(0, 2)), "b": entry(offsets=(1, 2))}, b"00"),
        "/b/data_offsets: an overlap",
    ),
    "numbers missing": (file_of({"a": entry()}), "describes 1 bytes of numbers, 0 follow"),
    "numbers left over": (file_of({"a": entry()}, b"00"), "describes 1 bytes of numbers, 2 follow"),
    "a boolean of 2": (file_of({"a": entry("BOOL")}, b"\x02"), "a is BOOL"),
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("mmap", [False, True])
def test_a_malformed_file_is_refused_and_the_error_says_where(
    tmp_path: Path, case: str, mmap: bool
) -> None:
    data, message = MALFORMED[case]
    with pytest.raises(FormatError) as refused:
        safetensors.load(data)
    assert message in str(refused.value)
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(FormatError) as refused:
        safetensors.load_file(tmp_path / "x.safetensors", mmap=mmap)
    assert message in str(refused.value)
    assert "x.safetensors" in str(refused.value)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_corrupted_bytes_are_refused_or_read_but_never_crash(data: st.DataObject) -> None:
    good = bytearray(
        safetensors.save({"a": np.arange(3.0), "b": np.ones((2, 2), bool)}, {"k": "v"})
    )
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    torn = bytes(good[:cut]) if data.draw(st.booleans()) else bytes(good)
    try:
        found = safetensors.load(torn)
    except FormatError:
        return
    assert all(isinstance(array, np.ndarray) for array in found.values())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_behind_a_fitting_length_are_refused(text: bytes) -> None:
    with pytest.raises(FormatError, match=r"^data: "):
        safetensors.load(file_of(b"{" + text + b"\x00"))


def test_a_dtype_outside_the_format_is_refused_by_name() -> None:
    with pytest.raises(DtypeError, match=r"words is <U3"):
        safetensors.save({"words": np.array(["abc"])})


@pytest.mark.parametrize("name", ["__metadata__", 3, "\ud800"])
def test_an_array_cannot_take_a_name_the_format_has_not(name: Any) -> None:
    with pytest.raises(FormatError):
        safetensors.save({name: np.zeros(1)})


def test_metadata_must_be_strings() -> None:
    with pytest.raises(FormatError, match="metadata maps strings to strings"):
        safetensors.save({}, {"a": 1})  # type: ignore[dict-item]

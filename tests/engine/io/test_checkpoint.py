"""Checkpoints: what went in comes out, and no flipped bit or torn end passes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from engine.errors import FormatError
from engine.io import checkpoint, safetensors

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "step": np.array(7),
    "m": np.ones(2, bool),
}
MANIFEST = {"job": "job_1", "epoch": 3, "names": ["ä", "b"], "loss": 0.25, "best": None}


def test_arrays_and_manifest_come_back() -> None:
    arrays, manifest = checkpoint.loads(checkpoint.dumps(ARRAYS, MANIFEST))
    assert manifest == MANIFEST
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_the_file_holds_the_same_bytes_as_the_memory(tmp_path: Path) -> None:
    length = checkpoint.save(tmp_path / "c", ARRAYS, MANIFEST)
    assert (tmp_path / "c").read_bytes() == checkpoint.dumps(ARRAYS, MANIFEST)
    assert (tmp_path / "c").stat().st_size == length
    assert checkpoint.load(tmp_path / "c")[1] == MANIFEST


def test_equal_checkpoints_are_equal_bytes_whatever_the_order_of_their_names() -> None:
    turned = dict(reversed(ARRAYS.items()))
    manifest = dict(reversed(MANIFEST.items()))
    assert checkpoint.dumps(turned, manifest) == checkpoint.dumps(ARRAYS, MANIFEST)


def test_every_flipped_bit_is_noticed() -> None:
    good = checkpoint.dumps(ARRAYS, MANIFEST)
    for position in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[position] ^= 1 << bit
            with pytest.raises(FormatError):
                checkpoint.loads(bytes(bad))


def test_every_torn_end_is_noticed(tmp_path: Path) -> None:
    good = checkpoint.dumps(ARRAYS, MANIFEST)
    for length in range(len(good)):
        with pytest.raises(FormatError):
            checkpoint.loads(good[:length])
    (tmp_path / "torn").write_bytes(good[:-1])
    with pytest.raises(FormatError, match="torn"):
        checkpoint.load(tmp_path / "torn")


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=4))
def test_any_json_manifest_comes_back(manifest: dict[str, object]) -> None:
    assert checkpoint.loads(checkpoint.dumps({}, manifest)) == ({}, manifest)


def test_metadata_that_is_not_under_the_seal_is_refused() -> None:
    arrays, metadata = safetensors.read(checkpoint.dumps(ARRAYS, MANIFEST))
    with pytest.raises(FormatError, match="sha256"):
        checkpoint.loads(safetensors.save(arrays, metadata | {"note": "slipped in"}))


def test_a_plain_safetensors_file_is_not_a_checkpoint() -> None:
    with pytest.raises(FormatError, match="not a checkpoint"):
        checkpoint.loads(safetensors.save(ARRAYS))


@pytest.mark.parametrize("manifest", [{"x": float("nan")}, {"x": {1}}, {"x": np.float32(1)}])
def test_a_manifest_that_is_not_json_is_refused(manifest: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="manifest is not JSON"):
        checkpoint.dumps({}, manifest)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", ARRAYS, MANIFEST)
    with pytest.raises(FormatError):
        checkpoint.save(tmp_path / "c", ARRAYS, {"x": float("inf")})
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    assert checkpoint.load(tmp_path / "c")[1] == MANIFEST

"""Checkpoints: arrays and a JSON manifest in one safetensors file, sealed with a sha256."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from engine.errors import FormatError
from engine.io import safetensors
from engine.io.files import write_file

FORMAT = "gradworks-checkpoint-1"

Manifest = dict[str, Any]


def dumps(arrays: Mapping[str, Any], manifest: Mapping[str, Any]) -> bytes:
    """The checkpoint as bytes."""
    return b"".join(_chunks(arrays, manifest))


def save(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], manifest: Mapping[str, Any]
) -> int:
    """Write the checkpoint so that `path` holds all of it or what it held; return its bytes."""
    return write_file(path, _chunks(arrays, manifest))


def loads(data: bytes | bytearray | memoryview) -> tuple[dict[str, np.ndarray], Manifest]:
    """(arrays, manifest); FormatError where a byte is missing or has changed."""
    return _verified(*safetensors.read(data), "data")


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], Manifest]:
    """(arrays, manifest) of a file; FormatError where a byte is missing or has changed."""
    return _verified(*safetensors.read_file(path), str(path))


def _chunks(arrays: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[Any]:
    laid = {name: np.asarray(array) for name, array in arrays.items()}
    try:
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FormatError(f"the manifest is not JSON: {error}") from error
    metadata = {"format": FORMAT, "manifest": text, "sha256": digest(laid, text)}
    yield from safetensors.chunks(laid, metadata)


def digest(arrays: Mapping[str, np.ndarray], manifest: str) -> str:
    """sha256 (hexadecimal) over the manifest and, by name, each array's header and numbers."""
    seal = sha256()
    _add(seal, manifest.encode())
    for name in sorted(arrays):
        array = arrays[name]
        little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        _add(seal, f"{name}\n{little.dtype.str}\n{list(little.shape)}".encode())
        _add(seal, little.reshape(-1).view(np.uint8).data if little.nbytes else b"")
    return seal.hexdigest()


def _add(seal: Any, part: bytes | memoryview) -> None:
    """Add a part with its length, so that parts cannot trade bytes."""
    seal.update(len(part).to_bytes(8, "little"))
    seal.update(part)


def _verified(
    arrays: dict[str, np.ndarray], metadata: dict[str, str], source: str
) -> tuple[dict[str, np.ndarray], Manifest]:
    if metadata.get("format") != FORMAT:
        raise FormatError(
            f"{source}: not a checkpoint; expected metadata format {FORMAT!r}, "
            f"got {metadata.get('format')!r}"
        )
    if set(metadata) != {"format", "manifest", "sha256"}:
        raise FormatError(
            f"{source}: the metadata must be format, manifest and sha256, got {sorted(metadata)}"
        )
    text = metadata["manifest"]
    found, expected = digest(arrays, text), metadata["sha256"]
    if found != expected:
        raise FormatError(f"{source}: the sha256 is {found}, the file says {expected}")
    return arrays, json.loads(text)

"""Downloads that go on where they broke off and are checked before they appear."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from gradworks.errors import BrokenDownload, Unreachable
from gradworks.transport import Transport

Json = dict[str, Any]
_TRIES = 5


def download(transport: Transport, path: str, described: Json, folder: Path) -> Path:
    """Fetch one file into `folder`; it takes its name only once its sha256 is right."""
    name = Path(described["name"]).name
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    part.unlink(missing_ok=True)
    for attempt in range(_TRIES):
        try:
            _append(transport, path, part, described)
            break
        except Unreachable:
            if attempt == _TRIES - 1:
                raise
    digest = _sha256(part)
    if digest != described["sha256"]:
        part.unlink()
        raise BrokenDownload(f"{name}: sha256 is {digest}, the service said {described['sha256']}")
    os.replace(part, folder / name)
    return folder / name


def _append(transport: Transport, path: str, part: Path, described: Json) -> None:
    start = part.stat().st_size if part.exists() else 0
    if start and start == described["bytes"]:
        return
    headers = {"Range": f"bytes={start}-"} if start else {}
    with transport.stream(path, headers=headers) as answer:
        mode = "ab" if answer.status_code == 206 else "wb"
        with part.open(mode) as file:
            for chunk in answer.iter_bytes():
                file.write(chunk)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Datasets: upload files, look at what the service made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gradworks.pages import every
from gradworks.transport import Transport

Json = dict[str, Any]
_CHUNK = 1 << 20


class Datasets:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(
        self,
        name: str,
        files: Sequence[str | Path],
        *,
        format: str | None = None,
        options: Json | None = None,
        description: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Json:
        """Make a dataset of local files; a name that is taken gets a new version.

        `progress(sent, total)` is called as bytes leave.
        """
        body: Json = {"uploads": self._send_files([Path(f) for f in files], progress)}
        body |= {} if format is None else {"format": format}
        body |= {} if options is None else {"options": options}
        if any(known["name"] == name for known in self.each()):
            return self._post(f"/v1/datasets/{name}/versions", body)
        body |= {} if description is None else {"description": description}
        return self._post("/v1/datasets", {"name": name, **body})

    def get(self, dataset: str) -> Json:
        return self._get(f"/v1/datasets/{dataset}")

    def preview(self, dataset: str, *, limit: int = 10) -> Json:
        return self._get(f"/v1/datasets/{dataset}/preview", limit=limit)

    def each(self) -> Iterator[Json]:
        return every(self._transport, "/v1/datasets")

    def delete(self, dataset: str) -> None:
        self._transport.delete(f"/v1/datasets/{dataset}")

    def _send_files(
        self, paths: list[Path], progress: Callable[[int, int], None] | None
    ) -> list[str]:
        total = sum(path.stat().st_size for path in paths)
        sent = 0

        def count(size: int) -> None:
            nonlocal sent
            sent += size
            if progress is not None:
                progress(sent, total)

        return [self._send_file(path, count) for path in paths]

    def _send_file(self, path: Path, count: Callable[[int], None]) -> str:
        headers = {"Content-Type": "application/octet-stream"}
        answer = self._transport.send(
            "POST",
            "/v1/uploads",
            params={"filename": path.name},
            content=_Body(path, count),
            headers=headers | {"Content-Length": str(path.stat().st_size)},
        )
        upload_id: str = answer.json()["id"]
        return upload_id

    def _get(self, path: str, **params: Any) -> Json:
        found: Json = self._transport.get(path, **params)
        return found

    def _post(self, path: str, body: Json) -> Json:
        made: Json = self._transport.post(path, body)
        return made


class _Body:
    """A file that can be sent again from its beginning when the connection breaks."""

    def __init__(self, path: Path, count: Callable[[int], None]) -> None:
        self._path = path
        self._count = count

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        with self._path.open("rb") as file:
            try:
                while chunk := file.read(_CHUNK):
                    yield chunk
                    sent += len(chunk)
                    self._count(len(chunk))
                sent = 0
            finally:
                if sent:  # broken off: what was sent does not count
                    self._count(-sent)

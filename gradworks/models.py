"""Models: what a job that succeeded leaves behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gradworks.files import download
from gradworks.pages import every
from gradworks.transport import Transport

Json = dict[str, Any]


class Models:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, model_id: str) -> Json:
        found: Json = self._transport.get(f"/v1/models/{model_id}")
        return found

    def each(self) -> Iterator[Json]:
        return every(self._transport, "/v1/models")

    def files(self, model_id: str) -> list[Json]:
        found: list[Json] = self._transport.get(f"/v1/models/{model_id}/files")["data"]
        return found

    def download(self, model_id: str, folder: str | Path) -> list[Path]:
        """Fetch every file of the model; each is checked against its sha256."""
        base = f"/v1/models/{model_id}/files"
        return [
            download(self._transport, f"{base}/{file['name']}", file, Path(folder))
            for file in self.files(model_id)
        ]

    def predict(self, model_id: str, rows: Sequence[Json]) -> list[Json]:
        """One prediction for each raw row (`{column: value}`)."""
        answer = self._transport.post(f"/v1/models/{model_id}/predict", {"rows": list(rows)})
        found: list[Json] = answer["predictions"]
        return found

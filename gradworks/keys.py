"""API keys of the project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gradworks.pages import every
from gradworks.transport import Transport

Json = dict[str, Any]


class Keys:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, scopes: Sequence[str] = ("read", "write")) -> Json:
        """A new key. Its `token` is in this answer and nowhere else, ever."""
        made: Json = self._transport.post("/v1/keys", {"name": name, "scopes": list(scopes)})
        return made

    def each(self) -> Iterator[Json]:
        return every(self._transport, "/v1/keys")

    def revoke(self, key_id: str) -> None:
        self._transport.delete(f"/v1/keys/{key_id}")

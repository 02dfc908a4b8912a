"""Lists that arrive page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradworks.transport import Transport


def every(transport: Transport, path: str, **params: Any) -> Iterator[dict[str, Any]]:
    """Each row of a list, fetching the next page when the last is used up."""
    cursor: str | None = None
    while True:
        page = transport.get(path, cursor=cursor, **params)
        yield from page["data"]
        if not page["has_more"]:
            return
        cursor = page["next_cursor"]

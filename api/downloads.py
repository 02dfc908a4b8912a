"""Files on their way out: ranges, sha256, and names that a browser will not run."""

import base64
import re
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session, sessionmaker
from starlette.responses import Response

from api.polling import matches
from core.errors import RangeNotSatisfiable
from store import blobs
from store.tables import Artifact

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*")


BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": BINARY},
    206: {"description": "The part that was asked for", "content": BINARY},
    304: {"description": "Nothing changed since"},
}


def respond(request: Request, sessions: sessionmaker[Session], file: Artifact) -> Response:
    """The file, the part of it that was asked for, or 304; raises RangeNotSatisfiable."""
    etag, size = f'"{file.sha256}"', file.bytes
    headers = _headers(file, etag)
    known = request.headers.get("if-none-match")
    if known is not None and matches(known.encode("latin-1"), etag.encode()):
        return Response(status_code=304, headers=headers)
    span = _span(request, etag, size)
    start, end = span or (0, size)
    headers["Content-Length"] = str(end - start)
    if span:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(
        blobs.stream(sessions, file.sha256, start=start, end=end),
        status_code=206 if span else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


def _headers(file: Artifact, etag: str) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    return {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "Repr-Digest": f"sha-256=:{digest}:",
    }


def _span(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """The bytes asked for as [start, end); None for all of them.

    A range we do not understand, several ranges, and one whose If-Range names another file are
    answered with the whole file (RFC 9110, 14.2 and 13.1.5).
    """
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or asked.groups() == ("", ""):
        return None
    if request.headers.get("if-range", etag) != etag:
        return None
    first, last = asked.groups()
    if first and last and int(last) < int(first):
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= end:
        raise RangeNotSatisfiable(
            f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, end

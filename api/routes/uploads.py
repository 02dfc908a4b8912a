"""Uploads: files that come as a raw body and wait to become part of a dataset."""

from collections.abc import AsyncIterator
from typing import Annotated

from anyio import CancelScope
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.deps import ServiceDep, Writer
from api.idempotency import Once, StreamedOnceDep
from api.openapi import GUARDED, problems
from api.schemas.datasets import UploadRead
from api.service import Service
from core.errors import Invalid, Problem
from store import blobs, uploads
from store.blobs import BlobRef

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

FileName = Annotated[
    str,
    Query(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f/\\]*[^\x00-\x1f\x7f/\\.\s][^\x00-\x1f\x7f/\\]*$",
        description="the file's name, without a folder",
    ),
]
BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "",
    status_code=201,
    response_model=UploadRead,
    responses=problems(*GUARDED, 409, 413, 507),
    operation_id="create_upload",
    openapi_extra=BODY,
)
async def create_upload(
    request: Request, filename: FileName, service: ServiceDep, caller: Writer, once: StreamedOnceDep
) -> Response:
    """Send a file as the body. It is kept for a day, unless a dataset takes it."""
    # Not `def`: the body is stored as it comes.
    blob = await _store(service, request.stream())
    return await run_in_threadpool(_register, service, once, caller.project_id, filename, blob)


async def _store(service: Service, parts: AsyncIterator[bytes]) -> BlobRef:
    """The body as a blob; whatever breaks it off, nothing of it stays."""
    writer = blobs.Writer(service.sessions, max_bytes=service.settings.max_upload_bytes)
    try:
        pending = bytearray()
        async for part in parts:
            pending += part
            if len(pending) >= blobs.CHUNK:
                await run_in_threadpool(writer.write, bytes(pending))
                pending.clear()
        await run_in_threadpool(writer.write, bytes(pending))
        found = await run_in_threadpool(writer.finish)
    finally:
        with CancelScope(shield=True):
            await run_in_threadpool(writer.discard)
    if found.bytes == 0:
        raise Invalid([Problem("", "empty", "the body is empty", hint="send the file as the body")])
    return found


def _register(
    service: Service, once: Once, project_id: str, filename: str, blob: BlobRef
) -> Response:
    def work() -> UploadRead:
        made = uploads.create(
            session,
            project_id=project_id,
            filename=filename,
            blob=blob,
            ttl_seconds=service.settings.upload_ttl_seconds,
        )
        return UploadRead.model_validate(made)

    with service.sessions.begin() as session:
        return once.with_content(blob.sha256).run(session, work, status=201)

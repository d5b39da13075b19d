"""/v1/files: what clients upload for batches, and what batches made. Each file is its caller's."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response, StreamingResponse

from server.api.context import Served
from server.api.errors import Refusal
from server.api.forms import Form, read_form
from server.api.outgoing import ClosedModel
from server.api.pages import page, paged
from server.errors import InvalidRequest, Unreadable
from server.files import StoredFile

router = APIRouter(prefix="/v1/files", tags=["files"])

_KIND = "application/octet-stream"
_PIECE = 1 << 20
_MOST = 10_000
_LAST_S = (3600, 30 * 24 * 3600)  # shortest and longest `expires_after`
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"enum": ["batch"]},
                        _ANCHOR: {"enum": ["created_at"]},
                        _SECONDS: {"type": "integer", "minimum": 3600, "maximum": 2592000},
                    },
                }
            }
        },
    }
}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {_KIND: {"schema": {"type": "string"}}}}
}


class FileEntry(ClosedModel):
    """A file as the OpenAI SDK types it; expires_at is null where it stays until it is deleted."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"


class FileList(ClosedModel):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileEntry]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(ClosedModel):
    """A file that is no more."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


@router.post("", openapi_extra=_FORM)
async def upload_file(request: Request, context: Served) -> FileEntry:
    """Takes the input of a batch."""
    _check_sender(request)
    incoming = context.files.receive(request.state.caller)
    try:
        form = await read_form(request, incoming)
        filename, lasts_s = _filename(form), _lasts_s(form)
        stored = await asyncio.to_thread(
            incoming.keep, filename=filename, purpose="batch", lasts_s=lasts_s
        )
    finally:
        await asyncio.to_thread(incoming.discard)
    return _entry(stored)


@router.get("", openapi_extra=paged(most=_MOST, default=_MOST))
async def list_files(request: Request, context: Served) -> FileList:
    """The caller's files, the newest first."""
    files = await asyncio.to_thread(context.files.list, request.state.caller)
    purpose = request.query_params.get("purpose")
    wanted = [file for file in files if purpose in {None, file.purpose}]
    found, more = page(request, wanted, lambda file: file.id, limit=_MOST, most=_MOST)
    data = [_entry(file) for file in found]
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return FileList(data=data, first_id=ends[0], last_id=ends[1], has_more=more)


@router.get("/{file_id}")
async def retrieve_file(file_id: str, request: Request, context: Served) -> FileEntry:
    """What is known of a file."""
    return _entry(context.files.get(request.state.caller, file_id))


@router.get("/{file_id}/content", response_class=FileResponse, responses=_BYTES)
async def download_file(file_id: str, request: Request, context: Served) -> Response:
    """What is in a file."""
    file = context.files.get(request.state.caller, file_id)
    plain = FileResponse(
        context.files.path(request.state.caller, file_id),
        media_type=_KIND,
        filename=file.filename,
        headers={"x-content-type-options": "nosniff"},
    )
    if not context.files.sealed:
        return plain
    source = await asyncio.to_thread(context.files.open, request.state.caller, file_id)
    return await asyncio.to_thread(_opened, source, file, plain.headers)


@router.delete("/{file_id}")
async def delete_file(file_id: str, request: Request, context: Served) -> FileDeleted:
    """Forgets a file."""
    context.files.delete(request.state.caller, file_id)
    return FileDeleted(id=file_id)


def _opened(source: BinaryIO, file: StoredFile, headers: Mapping[str, str]) -> Response:
    """A sealed file: in one piece, as no place in the middle can be found. Raises Unreadable where
    its beginning is; what is unreadable later cuts the connection."""
    try:
        first = source.read(_PIECE)
    except Unreadable:
        source.close()
        raise

    def pieces() -> Iterator[bytes]:
        with source:
            yield first
            while piece := source.read(_PIECE):
                yield piece

    told = {**headers, "content-length": str(file.nbytes), "accept-ranges": "none"}
    return StreamingResponse(pieces(), media_type=_KIND, headers=told)


def _entry(file: StoredFile) -> FileEntry:
    return FileEntry(
        id=file.id,
        bytes=file.nbytes,
        created_at=int(file.created),
        expires_at=None if file.expires is None else int(file.expires),
        filename=file.filename,
        purpose=file.purpose,
    )


def _check_sender(request: Request) -> None:
    """A page of another origin may send a form without asking, so it is asked where it is from."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        message = "A file is sent as multipart/form-data."
        raise Refusal(415, message, code="unsupported_media_type")
    origin = request.headers.get("origin")
    if origin is None or "*" in request.app.state.origins:
        return
    known = {request.headers.get("host"), *request.app.state.origins}
    if origin not in known and urlsplit(origin).netloc not in known:
        message = "Pages of this origin may not upload files; see server.cors_origins."
        raise Refusal(403, message, code="forbidden_origin")


def _filename(form: Form) -> str:
    purpose = form.fields.get("purpose")
    if form.filename is None:
        raise InvalidRequest("file is required.", param="file", code="missing_parameter")
    if purpose is None:
        raise InvalidRequest("purpose is required.", param="purpose", code="missing_parameter")
    if purpose != "batch":
        message = "purpose must be 'batch': files have no other use here."
        raise InvalidRequest(message, param="purpose", code="invalid_value")
    return form.filename or "file"


def _lasts_s(form: Form) -> float | None:
    anchor, seconds = form.fields.get(_ANCHOR), form.fields.get(_SECONDS)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        message = f"{_ANCHOR} must be 'created_at'."
        raise InvalidRequest(message, param=_ANCHOR, code="invalid_value")
    least, most = _LAST_S
    text = seconds or ""
    if not (text.isascii() and text.isdigit() and len(text) < 9 and least <= int(text) <= most):
        message = f"{_SECONDS} must be a number from {least} to {most}."
        raise InvalidRequest(message, param=_SECONDS, code="invalid_value")
    return float(text)

"""/v1/batches: files of requests, answered in the background."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from server.api.context import Served
from server.api.fields import INTEGRAL, AtMost, Wire
from server.api.outgoing import ClosedModel
from server.api.pages import page, paged
from server.api.strict_json import JsonRoute
from server.batches import ENDPOINTS, Batch
from server.errors import InvalidRequest

router = APIRouter(prefix="/v1/batches", route_class=JsonRoute, tags=["batches"])

_PAGE, _MOST = 20, 100

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], AtMost(16)
]


class OutputExpiry(Wire):
    """How long the files that a batch makes are kept."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=30 * 24 * 3600), INTEGRAL]


class BatchBody(Wire):
    """A batch that is to be run."""

    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: OutputExpiry | None = None


class BatchFault(ClosedModel):
    """What is wrong with an input file; line is null for the file as a whole."""

    code: str
    message: str
    param: str | None
    line: int | None


class BatchFaults(ClosedModel):
    """Everything that is wrong with it."""

    object: Literal["list"] = "list"
    data: list[BatchFault]


class BatchCounts(ClosedModel):
    """Requests; those that are neither completed nor failed are still to be answered."""

    total: int
    completed: int
    failed: int


class InputDetails(ClosedModel):
    """cached_tokens came with kept states."""

    cached_tokens: int


class OutputDetails(ClosedModel):
    """reasoning_tokens of the tokens are thoughts."""

    reasoning_tokens: int


class BatchUsage(ClosedModel):
    """Tokens of all requests that were answered."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class BatchEntry(ClosedModel):
    """A batch as the OpenAI SDK types it."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: BatchFaults | None
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: BatchCounts
    usage: BatchUsage
    metadata: dict[str, str] | None


class BatchList(ClosedModel):
    """A page of batches."""

    object: Literal["list"] = "list"
    data: list[BatchEntry]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post("")
async def create_batch(body: BatchBody, request: Request, context: Served) -> BatchEntry:
    """Begins a batch: its file is looked at, and then its requests are answered."""
    if body.endpoint not in ENDPOINTS:
        message = f"endpoint must be one of {', '.join(ENDPOINTS)}."
        raise InvalidRequest(message, param="endpoint", code="invalid_value")
    expiry = body.output_expires_after
    batch = context.batches.create(
        request.state.caller,
        body.endpoint,
        body.input_file_id,
        metadata=body.metadata,
        output_lasts_s=None if expiry is None else float(expiry.seconds),
    )
    return _entry(batch)


@router.get("", openapi_extra=paged(most=_MOST, default=_PAGE))
async def list_batches(request: Request, context: Served) -> BatchList:
    """The caller's batches, the newest first."""
    batches = context.batches.list(request.state.caller)
    found, more = page(request, batches, lambda batch: batch.id, limit=_PAGE, most=_MOST)
    data = [_entry(batch) for batch in found]
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return BatchList(data=data, first_id=ends[0], last_id=ends[1], has_more=more)


@router.get("/{batch_id}")
async def retrieve_batch(batch_id: str, request: Request, context: Served) -> BatchEntry:
    """How far a batch is."""
    return _entry(context.batches.get(request.state.caller, batch_id))


@router.post("/{batch_id}/cancel")
async def cancel_batch(batch_id: str, request: Request, context: Served) -> BatchEntry:
    """Ends a batch; what was answered by then is kept."""
    return _entry(context.batches.cancel(request.state.caller, batch_id))


def _entry(batch: Batch) -> BatchEntry:
    def at(status: str) -> int | None:
        return int(batch.at[status]) if status in batch.at else None

    faults = [BatchFault(**fault) for fault in batch.errors]
    used = batch.usage
    return BatchEntry(
        id=batch.id,
        endpoint=batch.endpoint,
        model=batch.model,
        errors=BatchFaults(data=faults) if faults else None,
        input_file_id=batch.input_file_id,
        status=batch.status,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        created_at=int(batch.created),
        in_progress_at=at("in_progress"),
        expires_at=int(batch.expires),
        finalizing_at=at("finalizing"),
        completed_at=at("completed"),
        failed_at=at("failed"),
        expired_at=at("expired"),
        cancelling_at=at("cancelling"),
        cancelled_at=at("cancelled"),
        request_counts=BatchCounts(
            total=batch.total, completed=batch.completed, failed=batch.failed
        ),
        usage=BatchUsage(
            input_tokens=used.input_tokens,
            input_tokens_details=InputDetails(cached_tokens=used.cached_tokens),
            output_tokens=used.output_tokens,
            output_tokens_details=OutputDetails(reasoning_tokens=used.reasoning_tokens),
            total_tokens=used.input_tokens + used.output_tokens,
        ),
        metadata=None if batch.metadata is None else dict(batch.metadata),
    )

"""Every failure as `{"error": {"message", "type", "param", "code"}}` with its status."""

import http
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from server.api.dialects import anthropic_error, speaks_anthropic
from server.api.faults import invalid_request
from server.api.outgoing import ClosedModel
from server.errors import (
    AnswerFailed,
    ArchiveUnavailable,
    FormBroken,
    InvalidRequest,
    ModelUnavailable,
    NoRoom,
    NotComplete,
    NotFound,
    Overloaded,
    RequestError,
    TimeUp,
)

log = logging.getLogger(__name__)

CALLER_ERROR = "invalid_request_error"
SERVER_ERROR = "server_error"
BUSY_ERROR = "rate_limit_error"
RETRY_AFTER_S = 5  # about what a restart takes
ERROR = "error"  # under which a request's state has the first error that it was answered with


class ErrorDetail(ClosedModel):
    """What went wrong; `code` is a stable word for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(ClosedModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class Refusal(RequestError):
    """A request that is refused by what HTTP says of it, with its own status."""

    def __init__(
        self, status: int, message: str, *, code: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.headers = headers or {}


class Stopping(Overloaded):
    """The server is going down or its engine has died: no answer can be started."""


# A subclass stands before its parent.
_STATUS = {
    InvalidRequest: 400,
    FormBroken: 400,
    NotFound: 404,
    Stopping: 503,
    ModelUnavailable: 503,
    ArchiveUnavailable: 503,
    NotComplete: 503,
    NoRoom: 507,
    Overloaded: 429,
    TimeUp: 503,
}
_TYPES = {429: BUSY_ERROR}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it goes out."""

    status: int
    detail: ErrorDetail
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> ErrorBody:
        return ErrorBody(error=self.detail)

    def response(self) -> JSONResponse:
        return _ErrorResponse(self)


class _ErrorResponse(JSONResponse):
    """A failure that leaves a note of itself in the request's state.

    It is told in the words of whom the address belongs to.
    """

    def __init__(self, failure: Failure) -> None:
        headers = dict(failure.headers)
        super().__init__(failure.body.model_dump(), failure.status, headers=headers)
        self._detail = failure.detail

    def _translate(self, scope: Scope) -> None:
        told = anthropic_error(self.status_code, self._detail.message, scope)
        self.body = self.render(told)
        self.headers["content-length"] = str(len(self.body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {}).setdefault(ERROR, self._detail)
        if speaks_anthropic(scope):
            self._translate(scope)
        await super().__call__(scope, receive, send)


def failure(error: RequestError) -> Failure:
    """The status, type and headers that belong to an error."""
    status = _status(error)
    kind = _TYPES.get(status, CALLER_ERROR if status < 500 else SERVER_ERROR)
    detail = ErrorDetail(message=error.message, type=kind, param=error.param, code=error.code)
    return Failure(status, detail, _headers(error))


def _status(error: RequestError) -> int:
    if isinstance(error, Refusal):
        return error.status
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def _headers(error: RequestError) -> Mapping[str, str]:
    if isinstance(error, Overloaded):
        return {"retry-after": str(error.retry_after_s)}
    if isinstance(error, TimeUp):
        return {"retry-after": str(RETRY_AFTER_S)}
    return error.headers if isinstance(error, Refusal) else {}


def unexpected() -> Failure:
    """A failure that says nothing of its cause, which is in the log."""
    message = "The server failed to answer this request; its log says why."
    return failure(AnswerFailed(message, code="internal_error"))


async def answer_request_error(request: Request, error: Exception) -> JSONResponse:
    """An answer that fails because the server goes down is worth another try elsewhere."""
    assert isinstance(error, RequestError)
    if isinstance(error, AnswerFailed) and not request.app.state.context.ready:
        error = Stopping(error.message, retry_after_s=RETRY_AFTER_S)
    return failure(error).response()


async def answer_validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return failure(invalid_request(error)).response()


async def answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """What the router says by itself: unknown routes and wrong methods."""
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    match error.status_code:
        case 404:
            message, code = f"There is no {where} here.", "unknown_url"
        case 405:
            message = f"{where} is not possible: this address takes other methods."
            code = "method_not_allowed"
        case status:
            message, code = str(error.detail), http.HTTPStatus(status).name.lower()
    refusal = Refusal(error.status_code, message, code=code, headers=error.headers)
    return failure(refusal).response()


HANDLERS: dict[int | type[Exception], Any] = {
    RequestError: answer_request_error,
    RequestValidationError: answer_validation_error,
    HTTPException: answer_http_error,
}

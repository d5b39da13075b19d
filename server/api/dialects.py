"""Whose words a request is answered in: OpenAI's, or for Anthropic's clients their own."""

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

_ANTHROPIC = "/v1/messages"
_EITHER = "/v1/models"  # both have this address
_VERSION = "anthropic-version"  # a header that only Anthropic's clients send
# By status: Anthropic's names of what went wrong.
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
REQUEST_ID = "request-id"  # as Anthropic's SDK looks for it


def speaks_anthropic(scope: Scope) -> bool:
    """The request is for one of the addresses that only Anthropic's SDK calls, or comes from it."""
    path: str = scope["path"]
    if _within(path, _EITHER):
        return _VERSION in Headers(scope=scope)
    return _within(path, _ANTHROPIC)


def _within(path: str, address: str) -> bool:
    return path == address or path.startswith(f"{address}/")


def anthropic_error(status: int, message: str, scope: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an error, or the data of an error event."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": scope.get("state", {}).get("request_id"),
    }

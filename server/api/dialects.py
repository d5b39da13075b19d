"""Whose words an error is told in: OpenAI's, or on some addresses Anthropic's."""

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

_ANTHROPIC = "/v1/messages"
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
    """The request is for one of the addresses that Anthropic's SDK calls."""
    path: str = scope["path"]
    return path == _ANTHROPIC or path.startswith(f"{_ANTHROPIC}/")


def anthropic_error(status: int, message: str, scope: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an error, or the data of an error event."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": scope.get("state", {}).get("request_id"),
    }

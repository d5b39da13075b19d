"""uvicorn's reading of HTTP, with an error of this API's shape for what is none."""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.api.errors import Refusal, failure
from server.api.middleware import REQUEST_ID
from server.chance import fresh_hex


class Protocol(HttpToolsProtocol):
    """A connection. What cannot be read as HTTP never reaches the application."""

    def send_400_response(self, msg: str) -> None:
        """The last response of this connection; msg: uvicorn's own words."""
        del msg
        told = failure(Refusal(400, "The request is not valid HTTP.", code="invalid_http"))
        self.transport.write(_response(HTTPStatus(told.status), told.body.model_dump_json()))
        self.transport.close()


def _response(status: HTTPStatus, body: str) -> bytes:
    headers: dict[str, Any] = {
        "content-type": "application/json",
        "content-length": len(body),
        REQUEST_ID: f"req_{fresh_hex(16)}",
        "connection": "close",
    }
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", body]).encode("ascii")

"""Requests that come from within the server, and go through everything a client's go through."""

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.middleware import REQUEST_ID
from server.batches import Answer

BACKGROUND = 1  # the least priority number of a request of a batch


def comes_from_inside(scope: Scope) -> bool:
    """Only what asks from within has a priority before its body is read."""
    return "priority" in scope.get("state", {})


class Inside:
    """Asks an application as a caller that was let in already; implements batches.Call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, path: str, body: bytes, caller: str) -> Answer:
        """One POST, in the background. Cancelling it is leaving."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = {"caller": caller, "priority": BACKGROUND}
            await self._app(scope, receive, send)

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            response = await client.post(
                path, content=body, headers={"content-type": "application/json"}
            )
        after = response.headers.get("retry-after", "")
        return Answer(
            response.status_code,
            response.headers[REQUEST_ID],
            response.json(),
            float(after) if after.isdigit() else None,
        )

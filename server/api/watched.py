"""What was sent in answer to a request, for those that tell of its end."""

from starlette.types import Message, Send

LEFT = 499  # what nginx calls a client that has left before there was a response


class Watched:
    """Sends on. status: of the response, LEFT as long as there is none."""

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = LEFT

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

"""A model in this very process, without HTTP."""

from collections.abc import AsyncGenerator

from server.app import App
from server.chat.turn import Turn
from server.chat.types import Message, SamplingOptions, TextDelta, TurnRequest
from server.cli.conversation import ChatError, Wishes
from server.errors import RequestError


class LocalSpeaker:
    """Answers within `app.running()`."""

    def __init__(self, app: App, wishes: Wishes) -> None:
        self._service = app.service
        self._wishes = wishes

    @property
    def name(self) -> str:
        return f"{self._service.model.id} in this process"

    async def reply(self, messages: list[Message]) -> AsyncGenerator[str]:
        wishes = self._wishes
        request = TurnRequest(
            caller="terminal",
            messages=tuple(messages),
            max_tokens=wishes.max_tokens,
            sampling=SamplingOptions(
                temperature=wishes.temperature, top_p=wishes.top_p, seed=wishes.seed
            ),
        )
        try:
            turn = await self._service.start(request)
            try:
                async for event in turn.events():
                    if isinstance(event, TextDelta):
                        yield event.text
            except BaseException:
                await _end(turn)
                raise
        except RequestError as error:
            raise ChatError(error.message) from error


async def _end(turn: Turn) -> None:
    """Cut the answer and wait until its state is kept, for the next question to resume from."""
    turn.cancel()
    async for _ in turn.events():
        pass

"""Answers as they were told: without thoughts that are not remembered, or half of a call."""

from collections.abc import Awaitable, Callable, Sequence

from server.chance import fresh_hex
from server.chat.ready import pieces
from server.chat.served import ServedModel
from server.chat.stops import TextWatcher
from server.chat.told import Told
from server.chat.tools import toolbox_of
from server.chat.types import TurnRequest
from server.engine.client import EngineClient, EngineFull
from server.engine.messages import Branch, Finished, Place, Sampling, Submit
from server.engine.snapshot import Snapshot
from server.errors import InvalidRequest
from server.session import Key, Resumption

Resume = Callable[[Sequence[Key | None]], Awaitable[Resumption]]


class Retelling:
    """Reads conversations anew. resume: finds what is kept of one, else where all begin."""

    def __init__(self, model: ServedModel, engine: EngineClient, resume: Resume) -> None:
        self._model = model
        self._engine = engine
        self._resume = resume

    async def retell(self, request: TurnRequest, told: Told) -> Snapshot | None:
        """The state of a conversation that ends in an answer, as if it had been written so.

        Fed again from the last boundary before it. None where the template has none at its end,
        or the server no room: a follow-up reads the answer then.
        """
        try:
            tools = toolbox_of(request)
            history = self._model.lay_out(request.owner, told.messages, toolbox=tools).history
        except InvalidRequest:  # a template may want every conversation to end in a question
            return None
        if not history or history[-1].message != len(told.messages) - 1 or not history[-1].boundary:
            return None
        resumption = await self._resume([segment.key for segment in history])
        left = pieces(self._model, history[resumption.segments :])
        ids = [token for piece in left for token in piece]
        if not ids:
            return resumption.snapshot
        return await self._read(request, ids, resumption.snapshot)

    async def _read(
        self, request: TurnRequest, ids: Sequence[int], start: Snapshot | None
    ) -> Snapshot | None:
        """The state after `ids`; None if the engine is full or fails."""
        submit = Submit(
            request=fresh_hex(12),
            start=start,
            pieces=(tuple(ids),),
            branches=(Branch(Sampling(temperature=0), TextWatcher(self._model.tokenizer, ())),),
            max_tokens=0,
            stop_ids=frozenset(),
            place=Place(priority=request.priority),
        )
        try:
            stream = self._engine.submit(submit)
        except EngineFull:
            return None
        ends = [event.snapshot async for event in stream if isinstance(event, Finished)]
        return ends[0] if ends else None

"""A chat service over a model that writes what a test says, and the answers it gives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from models.base import Model
from server.chat.served import ServedModel
from server.chat.service import ChatService
from server.chat.template import G1, Template
from server.chat.tools import NO_TOOLS, Toolbox
from server.chat.turn import Turn
from server.chat.types import (
    ChoiceEnd,
    Message,
    ReasoningDelta,
    SamplingOptions,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    TurnRequest,
)
from server.engine.client import EngineClient
from server.engine.engine import Engine
from server.engine.snapshot import Snapshot
from server.session import SessionManager, SnapshotStore
from tests.doubles import ByteTokenizer, WritingModel

PATIENCE_S = 10
TOKENIZER = ByteTokenizer()
LETTERS = SamplingOptions(seed=1, top_p=1.0)
HELLO = (Message("system", "Be brief."), Message("user", "Hello"))


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


def length(*texts: str) -> int:
    return sum(len(TOKENIZER.encode(text)) for text in texts)


class Server:
    """A service over a double, with a look into what it keeps."""

    def __init__(
        self,
        model: Model,
        sessions: SessionManager,
        *,
        template: Template = G1,
        keep_thinking: bool = True,
        capacity: int = 8,
        limit: int = 0,
    ) -> None:
        engine = Engine(model, max_slots=4, prefill_chunk=16)
        self.client = EngineClient(engine, capacity=capacity)
        self.sessions = sessions
        served = ServedModel("m", model.spec, "float32", TOKENIZER, template, keep_thinking)
        self.service = ChatService(
            served, self.client, sessions, default_max_tokens=40, max_prompt_tokens=limit
        )

    async def start(self, *messages: Message, caller: str = "ann", **options) -> Turn:
        return await self.service.start(TurnRequest(caller, messages, **options))

    async def ask(self, *messages: Message, caller: str = "ann", **options) -> "Answer":
        return await read(await self.start(*messages, caller=caller, **options))

    def kept(
        self, *messages: Message, caller: str = "ann", toolbox: Toolbox = NO_TOOLS
    ) -> Snapshot | None:
        """The snapshot that would let this prompt start without feeding anything."""
        layout = self.service.model.lay_out(caller, messages, toolbox=toolbox)
        found = self.sessions.recall(layout.keys)
        return found.snapshot if found.segments == len(layout.segments) else None


@dataclass
class Answer:
    turn: Turn
    texts: dict[int, str]
    thoughts: dict[int, str]
    ends: dict[int, ChoiceEnd]
    made: dict[int, list[ToolCall]]

    @property
    def text(self) -> str:
        (text,) = self.texts.values()
        return text

    @property
    def thought(self) -> str:
        (thought,) = self.thoughts.values()
        return thought

    @property
    def calls(self) -> list[ToolCall]:
        (calls,) = self.made.values()
        return calls

    @property
    def message(self) -> Message:
        return Message("assistant", self.text, tuple(self.calls))

    @property
    def end(self) -> ChoiceEnd:
        (end,) = self.ends.values()
        return end

    @property
    def reason(self) -> str:
        return self.end.reason

    @property
    def tokens(self) -> int:
        return sum(end.tokens for end in self.ends.values())

    @property
    def fed(self) -> int:
        return self.turn.prompt_tokens - self.turn.cached_tokens


async def read(turn: Turn) -> Answer:
    answer = Answer(turn, {}, {}, {}, {})
    async with asyncio.timeout(PATIENCE_S):
        async for event in turn.events():
            answer.texts.setdefault(event.choice, "")
            answer.thoughts.setdefault(event.choice, "")
            made = answer.made.setdefault(event.choice, [])
            match event:
                case TextDelta(choice, text):
                    assert text
                    assert choice not in answer.ends
                    answer.texts[choice] += text
                case ReasoningDelta(choice, text):
                    assert text
                    assert choice not in answer.ends
                    assert not answer.texts[choice]
                    answer.thoughts[choice] += text
                case ToolCallDelta(choice, index, arguments, str(id), str(name)):
                    assert (index, arguments) == (len(made), "")
                    assert choice not in answer.ends
                    made.append(ToolCall(id, name, ""))
                case ToolCallDelta(choice, index, arguments):
                    assert arguments
                    assert choice not in answer.ends
                    made[index] = replace(made[index], arguments=made[index].arguments + arguments)
                case ChoiceEnd(choice):
                    answer.ends[choice] = event
    return answer


@asynccontextmanager
async def serving(
    script: str | None = " Hi there.",
    *,
    model: Model | None = None,
    sessions: SessionManager | None = None,
    **options: Any,
) -> AsyncIterator[Server]:
    sessions = sessions or SessionManager(SnapshotStore(10**8))
    server = Server(model or WritingModel(script), sessions, **options)
    server.client.start()
    try:
        yield server
    finally:
        await server.client.stop()

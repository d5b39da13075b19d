"""Any tree of conversations, evicted and restarted at any time, answers as a cold reading does."""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.base import State
from server.chat.types import Message, SamplingOptions
from server.session import Archive, DiskHome, Packing, SessionManager, SnapshotStore
from tests.doubles import CountingModel
from tests.server.chat.talking import TOKENIZER, Server, assistant, read, serving, user

PRIME = 9973
LETTERS = TOKENIZER.encode("abcdefghijklmnopqrstuvwxyz")
COLON, SPACE = TOKENIZER.encode(": ")
GREEDY = SamplingOptions(temperature=0)


class HashingModel(CountingModel):
    """Writes letters that depend on all it was fed, and on their order."""

    def __init__(self) -> None:
        super().__init__(vocab_size=300)

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        shown: list[int] = []
        for number, part in enumerate(tokens.split(list(lengths))):
            value, chosen = int(state.wkv[0, number, 0, 0, 0]), []
            for token in part.tolist():
                value = (value * 31 + token + 1) % PRIME
                # An answer begins with a space, so that it is read again as it was written.
                chosen.append(SPACE if token == COLON else LETTERS[value % len(LETTERS)])
            state.wkv[0, number, 0, 0, 0] = value
            shown += chosen if every else chosen[-1:]
        logits = torch.full((len(shown), self.spec.vocab_size), -1e4)
        logits[range(len(shown)), shown] = 0
        return logits


@dataclass(frozen=True)
class Node:
    """A conversation; tokens: of it are known, if nothing was lost."""

    messages: tuple[Message, ...] = ()
    tokens: int = 0


class Warm:
    """A service whose sessions are in memory and on disk, through restarts."""

    def __init__(self, server: Server, folder: Path, memory: int) -> None:
        self.server, self._folder, self._memory = server, folder, memory

    async def start(self) -> None:
        home = DiskHome(self._folder, 10**8, describe=Packing().describe)
        self._archive = Archive(lambda: [home], Packing())
        self._archive.open()
        self._sessions = SessionManager(SnapshotStore(self._memory), self._archive)
        self.server.service._sessions = self._sessions

    async def restart(self) -> None:
        await self._archive.close()
        await self.start()

    def evict(self) -> None:
        store = self._sessions._store
        store.delete([key for tier in store._tiers for key in tier])

    async def stop(self) -> None:
        await self._archive.close()


WORDS = st.sampled_from(["one", "two", "three"])
SAY = st.tuples(st.just("say"), st.integers(0, 30), WORDS)
EDIT = st.tuples(st.just("edit"), st.integers(0, 30), WORDS)
LOSS = st.sampled_from([("evict", 0, ""), ("restart", 0, "")])
MEMORY = st.sampled_from([0, 1000, 10**8])  # bytes: of nothing, of a few, of all


@settings(max_examples=20, deadline=None)
@given(st.lists(SAY | EDIT | LOSS, min_size=1, max_size=14), MEMORY)
def test_any_tree_is_answered_as_if_it_were_read_from_the_beginning(
    steps: list[tuple[str, int, str]], memory: int
) -> None:
    asyncio.run(grown(steps, memory))


async def grown(steps: list[tuple[str, int, str]], memory: int) -> None:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = await stack.enter_async_context(serving(model=HashingModel()))
        forgetful = SessionManager(SnapshotStore(0))
        cold = await stack.enter_async_context(serving(model=HashingModel(), sessions=forgetful))
        warm = Warm(server, Path(folder), memory)
        await warm.start()
        stack.push_async_callback(warm.stop)
        nodes = [Node()]
        for what, number, text in steps:
            node = nodes[number % len(nodes)]
            if what == "evict":
                warm.evict()
            elif what == "restart":
                await warm.restart()
            elif what == "say":
                nodes.append(await said(node, text, server, cold))
            elif node.messages:  # an answer that the client has changed
                nodes.append(Node((*node.messages[:-1], assistant(text))))


async def said(node: Node, text: str, warm: Server, cold: Server) -> Node:
    messages = (*node.messages, user(text))
    ours, other = [
        await read(await server.start(*messages, sampling=GREEDY, max_tokens=6))
        for server in (warm, cold)
    ]
    assert ours.text == other.text
    assert ours.turn.prompt_tokens == other.turn.prompt_tokens
    assert other.turn.cached_tokens == 0
    assert ours.turn.cached_tokens >= node.tokens
    return Node((*messages, assistant(ours.text)), ours.turn.prompt_tokens + ours.tokens)

"""Any tree of conversations, evicted and restarted at any time, answers as a cold reading does."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.base import State
from server.chat.sessions import Bounds, KeptSessions
from server.chat.told import Told, answer_path
from server.chat.types import Message, SamplingOptions
from server.session import Archive, DiskHome, Entry, Packing, SessionManager, SnapshotStore
from server.session.tree import Session
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
        offer = SimpleNamespace(id="m", model=self.server.service.model)
        catalogue: Any = SimpleNamespace(offers=[offer])
        self.kept = KeptSessions(self._sessions, catalogue, Bounds())

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
TURN = st.tuples(st.sampled_from(["fork", "rewind", "carry"]), st.integers(0, 30), st.just(""))
LOSS = st.sampled_from([("evict", 0, ""), ("restart", 0, "")])
MEMORY = st.sampled_from([0, 1000, 10**8])  # bytes: of nothing, of a few, of all


@settings(max_examples=20, deadline=None)
@given(st.lists(SAY | EDIT | TURN | LOSS, min_size=1, max_size=14), MEMORY)
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
            elif what in {"fork", "rewind", "carry"}:
                nodes = await turned(what, node, nodes, warm)
            elif node.messages:  # an answer that the client has changed
                nodes.append(Node((*node.messages[:-1], assistant(text))))


async def turned(what: str, node: Node, nodes: list[Node], warm: Warm) -> list[Node]:
    """A session taken at the turn where the node ends, if there is a state."""
    sessions, model = warm.kept, warm.server.service.model
    if not node.tokens:
        return nodes
    path = answer_path(model, "ann", Told(node.messages))
    found = [s for s in await sessions.all("ann") if path.startswith(s.entries[0].path[:8])]
    turns = [turn for s in found for turn in s.turns if turn.path == path]
    if not turns:  # lost with the memory, or forgotten
        return [Node(one.messages) if one is node else one for one in nodes]
    (session,), (turn,) = found, turns
    told = await sessions.told("ann", session, turn)
    assert told.messages == node.messages
    if what == "fork":
        return [*nodes, Node(told.messages, turn.state.tokens if turn.state else 0)]
    if what == "rewind":
        await sessions.rewind("ann", session, turn)
        left = session_of(await sessions.all("ann"), path)
        assert all(e.path == path for e in left if e.path.startswith(path))
        behind = len(node.messages)
        return [
            Node(n.messages) if n.messages[:behind] == node.messages and n is not node else n
            for n in nodes
        ]
    if turn.state is None:
        return nodes
    data = b"".join(await sessions.export("ann", session, turn, tree=False))
    await sessions.delete("ann", session)
    assert not session_of(await sessions.all("ann"), path)

    async def body() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]

    taken = await sessions.take("ann", body())
    assert (taken.told.messages, taken.turn.path) == (node.messages, path)
    first = node.messages[0]
    return [Node(n.messages) if n.messages[:1] == (first,) and n is not node else n for n in nodes]


def session_of(sessions: Sequence[Session], path: bytes) -> Sequence[Entry]:
    return [entry for s in sessions for entry in s.entries if entry.path[:8] == path[:8]]


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

"""Any tree of conversations, evicted and restarted at any time, answers as a cold reading does."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.base import State
from server.chat.sessions import Bounds, KeptSessions, Transfers
from server.chat.told import Told, answer_path
from server.chat.types import Message, SamplingOptions
from server.errors import InvalidRequest
from server.session import Archive, DiskHome, Entry, Packing, SessionManager, SnapshotStore
from server.session.tree import Session, SessionTurn
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

    def __init__(self, server: Server, folder: Path, memory: int, disk: int) -> None:
        self.server, self._folder, self._memory, self._disk = server, folder, memory, disk

    async def start(self) -> None:
        home = DiskHome(self._folder, self._disk, describe=Packing().describe)
        self._archive = Archive(lambda: [home], Packing())
        self._archive.open()
        self._sessions = SessionManager(SnapshotStore(self._memory), self._archive)
        self.server.service._sessions = self._sessions
        offer = SimpleNamespace(id="m", model=self.server.service.model)
        catalogue: Any = SimpleNamespace(offers=[offer])
        self.sessions = KeptSessions(self._sessions, catalogue, Bounds())
        self.transfers = Transfers(self._sessions, self.sessions)

    async def restart(self) -> None:
        await self._archive.close()
        await self.start()

    def evict(self) -> None:
        store = self._sessions._store
        store.delete([key for tier in store._tiers for key in tier])

    def path(self, node: Node) -> bytes:
        model = self.server.service.model
        return answer_path(model, "ann", Told(node.messages)) if node.messages else b""

    async def kept(self, messages: Sequence[Message]) -> int:
        """The tokens of the longest prefix of a prompt that is kept anywhere."""
        names = self.server.service.model.lay_out("ann", messages).keys
        entries = await self._sessions.entries("ann")
        return max((entry.tokens for entry in entries if entry.key in names), default=0)

    async def stop(self) -> None:
        await self._archive.close()


WORDS = st.sampled_from(["one", "two", "three"])
SAY = st.tuples(st.just("say"), st.integers(0, 30), WORDS)
EDIT = st.tuples(st.just("edit"), st.integers(0, 30), WORDS)
TURN = st.tuples(
    st.sampled_from(["fork", "rewind", "carry", "pin", "unpin"]), st.integers(0, 30), st.just("")
)
LOSS = st.sampled_from([("evict", 0, ""), ("restart", 0, "")])
MEMORY = st.sampled_from([0, 1000, 10**8])  # bytes: of nothing, of a few, of all
ENOUGH = 10**8
DISK = st.sampled_from([0, 3 * 4096, 8 * 4096, ENOUGH])  # blocks, of which a state takes one
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20"))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(SAY | EDIT | TURN | LOSS, min_size=1, max_size=14), MEMORY, DISK)
def test_any_tree_is_answered_as_if_it_were_read_from_the_beginning(
    steps: list[tuple[str, int, str]], memory: int, disk: int
) -> None:
    asyncio.run(grown(steps, memory, disk))


async def grown(steps: list[tuple[str, int, str]], memory: int, disk: int) -> None:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = await stack.enter_async_context(serving(model=HashingModel()))
        forgetful = SessionManager(SnapshotStore(0))
        cold = await stack.enter_async_context(serving(model=HashingModel(), sessions=forgetful))
        warm = Warm(server, Path(folder), memory, disk)
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
                nodes.append(await said(node, text, warm, cold))
                if disk < ENOUGH:  # what is lost, and when, is for the budgets to say
                    nodes = [Node(one.messages) for one in nodes]
            elif what in {"fork", "rewind", "carry", "pin", "unpin"}:
                nodes = await turned(what, node, nodes, warm)
            elif node.messages:  # an answer that the client has changed
                nodes.append(Node((*node.messages[:-1], assistant(text))))


async def turned(what: str, node: Node, nodes: list[Node], warm: Warm) -> list[Node]:
    """A session taken at the turn where the node ends, if anything of it is known."""
    sessions, path = warm.sessions, warm.path(node)
    found = [s for s in await sessions.all("ann") if path.startswith(s.entries[0].path[:8])]
    turns = [turn for s in found for turn in s.turns if turn.path == path]
    if not path or not turns:  # lost with its place, or forgotten
        return [Node(one.messages) if one is node else one for one in nodes]
    (session,), (turn,) = found, turns
    try:
        told = await sessions.told("ann", session, turn)
    except InvalidRequest:  # of which no answer is left
        return nodes
    assert told.messages == node.messages
    match what:
        case "pin" | "unpin":
            with suppress(InvalidRequest):  # where there is no state, or no room for a pin
                await sessions.pin("ann", session, turn, pinned=what == "pin")
        case "rewind":
            return await rewound(session, turn, node, nodes, warm)
        case "carry" if turn.state is not None:
            return await carried(session, turn, node, nodes, warm)
    return nodes


async def rewound(
    session: Session, turn: SessionTurn, node: Node, nodes: list[Node], warm: Warm
) -> list[Node]:
    await warm.sessions.rewind("ann", session, turn)
    left = session_of(await warm.sessions.all("ann"), turn.path)
    assert all(e.path == turn.path for e in left if e.path.startswith(turn.path))
    behind = len(node.messages)
    return [
        Node(n.messages) if n.messages[:behind] == node.messages and n is not node else n
        for n in nodes
    ]


async def carried(
    session: Session, turn: SessionTurn, node: Node, nodes: list[Node], warm: Warm
) -> list[Node]:
    """Exported, deleted, and imported again."""
    sessions = warm.sessions
    data = b"".join(await warm.transfers.export("ann", session, turn, tree=False))
    await sessions.delete("ann", session)
    assert not session_of(await sessions.all("ann"), turn.path)

    async def body() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]

    back: Node | None = node
    try:
        taken = await warm.transfers.take("ann", body())
        assert (taken.told.messages, taken.turn.path) == (node.messages, turn.path)
    except InvalidRequest:  # the budgets have no room for it
        back = None
    first = node.messages[0]
    return [Node(n.messages) if n.messages[:1] == (first,) and n is not back else n for n in nodes]


def session_of(sessions: Sequence[Session], path: bytes) -> Sequence[Entry]:
    return [entry for s in sessions for entry in s.entries if entry.path[:8] == path[:8]]


async def said(node: Node, text: str, warm: Warm, cold: Server) -> Node:
    messages = (*node.messages, user(text))
    known = await warm.kept(messages)
    ours, other = [
        await read(await server.start(*messages, sampling=GREEDY, max_tokens=6))
        for server in (warm.server, cold)
    ]
    assert ours.text == other.text
    assert ours.turn.prompt_tokens == other.turn.prompt_tokens
    assert other.turn.cached_tokens == 0
    assert ours.turn.cached_tokens == known >= node.tokens
    return Node((*messages, assistant(ours.text)), ours.turn.prompt_tokens + ours.tokens)

"""Sessions that are carried to other servers as files, and come from them."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter

from server.chat.served import ServedModel
from server.chat.sessions.kept import KeptSessions
from server.chat.told import Told, ToldError, answer_key, answer_path, load_told
from server.engine.snapshot import Snapshot
from server.errors import InvalidRequest, busy
from server.session import PATH_STEP, Key, SessionManager
from server.session.transfer import About, Reader, TransferError, write
from server.session.tree import Session, SessionTurn

_TRANSFERS = 2  # at a time: each holds a whole file in memory


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has brought: the end of its last snapshot, and what was said up to there."""

    model: ServedModel
    session: Session
    turn: SessionTurn
    told: Told
    snapshots: int


class Transfers:
    """Exports and imports of the sessions that are kept. Belongs to one event loop."""

    def __init__(self, manager: SessionManager, kept: KeptSessions) -> None:
        self._manager, self._kept = manager, kept
        self._transfers = 0

    async def export(
        self, caller: str, session: Session, turn: SessionTurn, *, tree: bool
    ) -> list[bytes | memoryview]:
        """The file of a branch up to a turn, or of all branches, in parts.

        Inner states are left out, the oldest first, where it would be too large. Raises
        InvalidRequest, or Overloaded.
        """
        line = session.turns if tree else session.line(turn)
        others = [one for one in line if one.path != turn.path]
        with self._transfer():
            snapshots, nbytes = [], 0
            for one in (turn, *reversed(others)):
                if (
                    one.state is None
                    or nbytes + one.state.nbytes > self._kept.bounds.max_file_bytes
                ):
                    continue
                found = await self._manager.load(caller, one.state.key)
                if found is not None and found[1].told:
                    snapshots.append((one.path == turn.path, one.path, found[1]))
                    nbytes += found[1].nbytes
            if not snapshots or not snapshots[0][0]:
                message = "The state at the end of this turn is not kept, or too large for a file."
                raise InvalidRequest(message, param="turn", code="turn_not_kept")
            snapshots.sort(key=lambda one: one[:2])
            pinned = turn.state is not None and turn.state.pinned
            about = self._about(session.fingerprint, pinned=pinned)
            return await asyncio.to_thread(write, about, [one for *_, one in snapshots])

    def _about(self, fingerprint: str, *, pinned: bool) -> About:
        model = self._kept.model(fingerprint)
        names = (model.id, model.tokenizer.name, model.template.name) if model else ("", "", "")
        return About(fingerprint, *names, "1" if pinned else "0")

    async def take(self, caller: str, body: AsyncIterator[bytes]) -> Imported:
        """Keep what a file has as this caller's own, named by what is said in it.

        A state that is known already stays as it is. Raises InvalidRequest, or Overloaded.
        """
        with self._transfer():
            try:
                return await self._taken(caller, body)
            except (TransferError, ToldError) as error:
                message = f"The file cannot be imported: {error}."
                raise InvalidRequest(message, code="invalid_session_file") from error

    async def _taken(self, caller: str, body: AsyncIterator[bytes]) -> Imported:
        reader = Reader(self._kept.bounds.max_file_bytes)
        model: ServedModel | None = None
        async for piece in body:
            reader.feed(piece)
            if model is None and reader.about is not None:
                model = self._fitting(reader.about)
                reader.expect(model.spec)
        if model is None or reader.about is None:
            raise TransferError("it ends too early")
        snapshots = await asyncio.to_thread(reader.close, model.spec)
        kept = [self._named(model, caller, snapshot) for snapshot in snapshots]
        if len({one.path[:PATH_STEP] for one in kept}) > 1:
            raise TransferError("it has more than one session")
        return await self._keep(model, caller, kept, pinned=reader.about.pinned == "1")

    def _fitting(self, about: About) -> ServedModel:
        model = self._kept.model(about.fingerprint)
        if model is not None:
            return model
        message = (
            f"The session was made by the model {about.model[:100]!r} ({about.fingerprint[:300]}), "
            f"and only states of {self._kept.served_names} can be gone on from here."
        )
        raise InvalidRequest(message, code="model_mismatch")

    def _named(self, model: ServedModel, caller: str, snapshot: Snapshot) -> "_Named":
        told = load_told(snapshot.told)
        if len(told.messages) < 2 or told.messages[-1].role != "assistant":
            raise TransferError("a snapshot does not stand at the end of an answer")
        key, path = answer_key(model, caller, told), answer_path(model, caller, told)
        if len(path) % (2 * PATH_STEP):
            raise TransferError("a snapshot does not answer a question")
        return _Named(key, path, told, replace(snapshot, told=told.dump()))

    async def _keep(
        self, model: ServedModel, caller: str, kept: Sequence["_Named"], *, pinned: bool
    ) -> Imported:
        known = {entry.key for entry in await self._manager.entries(caller)}
        names = {one.path: one.key for one in kept}
        for one in sorted(kept, key=attrgetter("path")):
            if one.key in known:
                continue
            before = (one.path[:end] for end in range(len(one.path) - 1, 0, -1))
            parent = next((names[path] for path in before if path in names), None)
            turns = sum(message.role == "assistant" for message in one.told.messages)
            owner = (model.fingerprint, caller)
            self._manager.keep(owner, one.key, one.snapshot, parent, turns=turns, path=one.path)
        await self._manager.kept()
        last = kept[-1]
        there = await self._manager.entries(caller)
        if last.key not in {entry.key for entry in there}:
            message = "The session cannot be imported: there is no room here for its states."
            raise InvalidRequest(message, code="invalid_session_file")
        session = await self._kept.find(caller, f"sess_{last.path[:PATH_STEP].hex()}")
        turn = self._kept.turn(session, f"turn_{last.path[-PATH_STEP:].hex()}")
        if pinned:
            await self._pin_if_allowed(caller, session, turn)
        return Imported(model, session, turn, last.told, len(kept))

    async def _pin_if_allowed(self, caller: str, session: Session, turn: SessionTurn) -> None:
        try:
            await self._kept.pin(caller, session, turn, pinned=True)
        except InvalidRequest:
            return

    @contextmanager
    def _transfer(self) -> Iterator[None]:
        """Raises Overloaded while as many files are being read or written as may be."""
        if self._transfers >= _TRANSFERS:
            raise busy()
        self._transfers += 1
        try:
            yield
        finally:
            self._transfers -= 1


@dataclass(frozen=True, slots=True)
class _Named:
    """A snapshot of a file, by the names that it has for a caller here."""

    key: Key
    path: bytes
    told: Told
    snapshot: Snapshot

"""A caller's sessions: listed, forked, rewound, pinned, deleted, and carried to other servers."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter

from server.chat.catalogue import Catalogue
from server.chat.served import ServedModel
from server.chat.told import (
    Told,
    ToldError,
    answer_key,
    answer_path,
    load_told,
)
from server.engine.snapshot import Snapshot
from server.errors import ArchiveUnavailable, InvalidRequest, NotFound, busy
from server.session import PATH_STEP, Entry, HomeError, Key, SessionManager
from server.session.transfer import About, Reader, TransferError, write
from server.session.tree import Session, SessionTurn, sessions_of, with_beginnings

_TRANSFERS = 2  # at a time: each holds a whole file in memory


@dataclass(frozen=True, slots=True)
class Bounds:
    """max_file_bytes: of an export or import; max_pinned_bytes: of one caller's pinned states."""

    max_file_bytes: int = 2**29
    max_pinned_bytes: int = 2**28


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has brought: the end of its last snapshot, and what was said up to there."""

    model: ServedModel
    session: Session
    turn: SessionTurn
    told: Told
    snapshots: int


class KeptSessions:
    """Every method is asked by a caller, and knows of no other's. Belongs to one event loop."""

    def __init__(self, manager: SessionManager, catalogue: Catalogue, bounds: Bounds) -> None:
        self._manager, self._catalogue, self.bounds = manager, catalogue, bounds
        self._transfers = 0
        self._pinning = asyncio.Lock()

    async def all(self, caller: str) -> list[Session]:
        """The most recently used first."""
        return sessions_of(await self._manager.entries(caller))

    async def find(self, caller: str, id: str) -> Session:
        """Raises NotFound, also for what is another caller's, and ArchiveUnavailable if it may
        be where nobody can look now."""
        session = _of_id(await self._manager.entries(caller), id)
        if session is None:
            with _everywhere("looked for"):
                session = _of_id(await self._manager.entries(caller, every_home=True), id)
        if session is not None:
            return session
        raise NotFound(f"There is no session {id[:60]!r}.", code="session_not_found")

    def model(self, fingerprint: str) -> ServedModel | None:
        """The one that a session belongs to, where it is still served."""
        models = (offer.model for offer in self._catalogue.offers)
        return next((model for model in models if model.fingerprint == fingerprint), None)

    def served(self, session: Session) -> ServedModel:
        """Its model. Raises InvalidRequest where that is not served any more."""
        model = self.model(session.fingerprint)
        if model is None:
            message = (
                f"The session was made by a model ({session.fingerprint}) that is not served here "
                f"now, and only states of {self._served_names} can be gone on from."
            )
            raise InvalidRequest(message, code="model_mismatch")
        return model

    @property
    def _served_names(self) -> str:
        return ", ".join(f"{o.id!r} ({o.model.fingerprint})" for o in self._catalogue.offers)

    def turn(self, session: Session, wanted: int | str | None) -> SessionTurn:
        """By its id, or by its number on the branch that was used last; None is the end of that.

        Raises NotFound.
        """
        line = session.line(session.newest)
        if wanted is None:
            return next((one for one in reversed(line) if one.answered), line[-1])
        if isinstance(wanted, int):
            found = next((one for one in line if one.number == wanted), None)
        else:
            found = next((one for one in session.turns if one.id == wanted), None)
        if found is None:
            message = f"There is no turn {str(wanted)[:60]!r} in this session."
            raise NotFound(message, param="turn", code="turn_not_found")
        return found

    async def told(self, caller: str, session: Session, turn: SessionTurn) -> Told:
        """What was said up to the end of a turn. Raises InvalidRequest where nobody knows."""
        later = (e for e in session.entries if e.path.startswith(turn.path))
        for entry in sorted(later, key=lambda e: len(e.path)):
            found = await self._manager.load(caller, entry.key)
            if found is not None and found[1].told:
                return load_told(found[1].told).up_to(len(turn.path))
        message = "What was said up to this turn is not kept any more."
        raise InvalidRequest(message, param="turn", code="turn_not_kept")

    async def pin(
        self, caller: str, session: Session, turn: SessionTurn | None, *, pinned: bool
    ) -> None:
        """The state at the end of a turn, or of every branch. Raises InvalidRequest."""
        turns = session.branches if turn is None else [turn]
        states = [one.state for one in turns if one.state is not None]
        if not states:
            message = "There is no state at the end of this turn that could be pinned."
            raise InvalidRequest(message, param="turn", code="turn_not_kept")
        async with self._pinning:
            if pinned:
                await self._check_pins(caller, [entry for entry in states if not entry.pinned])
            for entry in states:
                await self._manager.pin(caller, entry.key, pinned)

    async def _check_pins(self, caller: str, new: Sequence[Entry]) -> None:
        """Nobody pins so much that others, or their own conversations, find no room.

        Neither do all callers together, in any tier.
        """
        nbytes = sum(entry.nbytes for entry in new)
        mine = sum(e.nbytes for e in await self._manager.entries(caller) if e.pinned)
        if nbytes > (room := self.bounds.max_pinned_bytes - mine):
            raise _too_many(nbytes, room, "your key")
        for pins in await self._manager.pins([entry.key for entry in new]):
            if pins.added and not pins.fit:
                whose = f"all keys together ({pins.tier})"
                raise _too_many(pins.added, pins.most - pins.pinned, whose)

    async def delete(self, caller: str, session: Session) -> int:
        """All of it, with what only it began with; returns how many snapshots that were.

        Raises ArchiveUnavailable.
        """
        return await self._forget(caller, session.entries)

    async def rewind(self, caller: str, session: Session, turn: SessionTurn) -> int:
        """Forget what goes on from a turn; returns how many snapshots that were.

        Raises ArchiveUnavailable.
        """
        return await self._forget(caller, session.behind(turn))

    async def _forget(self, caller: str, entries: Sequence[Entry]) -> int:
        with _everywhere("deleted"):
            every = await self._manager.entries(caller, every_home=True)
            return len(await self._manager.delete(caller, with_beginnings(entries, every)))

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
                if one.state is None or nbytes + one.state.nbytes > self.bounds.max_file_bytes:
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
        model = self.model(fingerprint)
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
        reader = Reader(self.bounds.max_file_bytes)
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
        model = self.model(about.fingerprint)
        if model is not None:
            return model
        message = (
            f"The session was made by the model {about.model[:100]!r} "
            f"({about.fingerprint[:300]}), and only states of {self._served_names} can be gone on "
            "from here."
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
        session = await self.find(caller, f"sess_{last.path[:PATH_STEP].hex()}")
        turn = self.turn(session, f"turn_{last.path[-PATH_STEP:].hex()}")
        if pinned:
            await self._pin_if_allowed(caller, session, turn)
        return Imported(model, session, turn, last.told, len(kept))

    async def _pin_if_allowed(self, caller: str, session: Session, turn: SessionTurn) -> None:
        try:
            await self.pin(caller, session, turn, pinned=True)
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


def _too_many(nbytes: int, room: int, whose: str) -> InvalidRequest:
    message = (
        f"Pinning this takes {nbytes:,} bytes, and {max(room, 0):,} are left for the pins of "
        f"{whose}; unpin something first."
    )
    return InvalidRequest(message, code="pin_limit_exceeded")


def _of_id(entries: Sequence[Entry], id: str) -> Session | None:
    return next((one for one in sessions_of(entries) if one.id == id), None)


@contextmanager
def _everywhere(done: str) -> Iterator[None]:
    """Raises ArchiveUnavailable where not every home can be asked."""
    try:
        yield
    except HomeError as error:
        message = f"The session cannot be {done} everywhere now, as {error}; try again later."
        raise ArchiveUnavailable(message) from error


@dataclass(frozen=True, slots=True)
class _Named:
    """A snapshot of a file, by the names that it has for a caller here."""

    key: Key
    path: bytes
    told: Told
    snapshot: Snapshot

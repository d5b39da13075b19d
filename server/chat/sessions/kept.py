"""A caller's sessions: listed, found, pinned, cut back and deleted."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from server.chat.catalogue import Catalogue
from server.chat.served import ServedModel
from server.chat.told import Told, load_told
from server.errors import ArchiveUnavailable, InvalidRequest, NotFound
from server.session import Entry, HomeError, SessionManager
from server.session.tree import Session, SessionTurn, sessions_of, with_beginnings


@dataclass(frozen=True, slots=True)
class Bounds:
    """max_file_bytes: of an export or import; max_pinned_bytes: of one caller's pinned states."""

    max_file_bytes: int = 2**29
    max_pinned_bytes: int = 2**28


class KeptSessions:
    """Every method is asked by a caller, and knows of no other's. Belongs to one event loop."""

    def __init__(self, manager: SessionManager, catalogue: Catalogue, bounds: Bounds) -> None:
        self._manager, self._catalogue, self.bounds = manager, catalogue, bounds
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
                f"now, and only states of {self.served_names} can be gone on from."
            )
            raise InvalidRequest(message, code="model_mismatch")
        return model

    @property
    def served_names(self) -> str:
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
        """The state at the end of a turn, or of every branch; without a turn all are unpinned.

        Raises InvalidRequest.
        """
        ends = session.branches if pinned else session.turns
        turns = ends if turn is None else [turn]
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

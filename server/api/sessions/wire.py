"""Sessions on the wire."""

from typing import Annotated, Any, Literal

from pydantic import Field

from server.api.chat.calls import MessageCall, told_call
from server.api.fields import INTEGRAL, Wire
from server.api.outgoing import ClosedModel
from server.chat.served import ServedModel
from server.chat.told import Told
from server.chat.types import Message, Role
from server.session.tree import Session, SessionTurn

_Number = Annotated[int, Field(ge=1, le=2**31 - 1), INTEGRAL]
TurnField = _Number | Annotated[str, Field(min_length=1, max_length=64)]


class SessionEntry(ClosedModel):
    """A session: all conversations with one model that begin with the same question.

    model: null where it is served no more. turns: of its longest branch; tokens: that were fed on
    it. bytes: of all snapshots, each in its nearest tier; tier: of the one used last.
    """

    id: str
    object: Literal["session"] = "session"
    model: str | None
    last_used: int
    turns: int
    branches: int
    snapshots: int
    tokens: int
    bytes: int
    tier: str
    pinned: bool


class SessionList(ClosedModel):
    """A page of sessions."""

    object: Literal["list"] = "list"
    data: list[SessionEntry]
    first_id: str | None
    last_id: str | None
    has_more: bool


class SessionMessage(ClosedModel):
    """What was said, as a chat's message."""

    role: Role
    content: str
    tool_calls: list[MessageCall] | None = None
    tool_call_id: str | None = None


class TurnEntry(ClosedModel):
    """A question and its answer; parent: the turn it goes on from.

    tokens, bytes and tier are of the state at its end, and null where none is kept: a fork is read
    again from there. messages: null unless they were asked for, and where nobody knows them.
    """

    id: str
    object: Literal["session.turn"] = "session.turn"
    parent: str | None
    turn: int
    answered: bool
    leaf: bool
    tokens: int | None
    bytes: int | None
    tier: str | None
    last_used: int
    pinned: bool
    messages: list[SessionMessage] | None = None


class SessionTree(SessionEntry):
    """A session with its turns, every one before those that go on from it.

    newest: the end of the branch that was used last.
    """

    newest: str
    data: list[TurnEntry]


class DeletedSession(ClosedModel):
    """A session that is no more; conversations: that had been made of it, and went with it."""

    id: str
    object: Literal["session.deleted"] = "session.deleted"
    deleted: Literal[True] = True
    snapshots: int
    conversations: int


class Continuation(ClosedModel):
    """A conversation that goes on from a turn; id: its id, for `conversation` in a request.

    tokens: of the kept state that its next answer starts from; null where it is read again.
    deleted: snapshots that a rewind has forgotten. snapshots: that an import has brought.
    """

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]
    session: str
    turn: str
    model: str
    tokens: int | None
    pinned: bool
    deleted: int | None = None
    snapshots: int | None = None


class ForkBody(Wire):
    """turn: an id, or a number on the branch that was used last; without it, the end of that."""

    turn: TurnField | None = None


class RewindBody(Wire):
    """turn: the last one that stays."""

    turn: TurnField


class PinBody(Wire):
    """turn: whose end is meant; without it, the end of every branch, or all that is pinned."""

    turn: TurnField | None = None


def session_fields(session: Session, model: ServedModel | None) -> dict[str, Any]:
    newest = max(session.entries, key=lambda entry: entry.used)
    return {
        "id": session.id,
        "model": None if model is None else model.id,
        "last_used": int(session.used),
        "turns": max(turn.number for turn in session.turns),
        "branches": len(session.branches),
        "snapshots": len(session.entries),
        "tokens": session.tokens,
        "bytes": session.nbytes,
        "tier": newest.tier,
        "pinned": session.pinned,
    }


def turn_entry(turn: SessionTurn, messages: list[SessionMessage] | None) -> TurnEntry:
    state = turn.state
    return TurnEntry(
        id=turn.id,
        parent=turn.parent,
        turn=turn.number,
        answered=turn.answered,
        leaf=turn.leaf,
        tokens=None if state is None else state.tokens,
        bytes=None if state is None else state.nbytes,
        tier=None if state is None else state.tier,
        last_used=int(turn.used),
        pinned=state is not None and state.pinned,
        messages=messages,
    )


def own_messages(told: Told, before: int) -> list[SessionMessage]:
    """Those after the first `before`."""
    return [_message(message) for message in told.messages[before:]]


def _message(message: Message) -> SessionMessage:
    return SessionMessage(
        role=message.role,
        content=message.content,
        tool_calls=[told_call(call) for call in message.tool_calls] or None,
        tool_call_id=message.tool_call_id,
    )

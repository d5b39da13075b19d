"""/v1/sessions, each its caller's alone."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from server.api.context import Context, Served
from server.api.errors import Refusal
from server.api.pages import page, paged, queried
from server.api.sessions import documents
from server.api.sessions.wire import (
    Continuation,
    DeletedSession,
    ForkBody,
    PinBody,
    RewindBody,
    SessionEntry,
    SessionList,
    SessionTree,
    own_messages,
    session_fields,
    turn_entry,
)
from server.api.stored import Stored
from server.api.strict_json import JsonRoute
from server.chat.sessions import KeptSessions
from server.chat.told import Told
from server.errors import ArchiveUnavailable, InvalidRequest
from server.session.tree import Session, SessionTurn

router = APIRouter(tags=["sessions"])
_PREFIX = "/v1/sessions"
_json = APIRouter(prefix=_PREFIX, route_class=JsonRoute)

IMPORT = f"{_PREFIX}/import"
_MEDIA = "application/octet-stream"
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {_MEDIA: {"schema": {"type": "string"}}}}
}
_FLAG = {"type": "boolean", "default": False}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {_MEDIA: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def _stored(request: Request, context: Context) -> Stored:
    return Stored(context.records, request.state.caller)


def _flag(request: Request, name: str) -> bool:
    given = request.query_params.get(name, "false")
    if given not in {"true", "false"}:
        raise InvalidRequest(f"{name} must be true or false.", param=name, code="invalid_value")
    return given == "true"


@_json.get("", openapi_extra=paged(most=1000))
async def list_sessions(request: Request, context: Served, model: str | None = None) -> SessionList:
    """The caller's sessions, the most recently used first; of one `model`, if that is named."""
    kept = context.sessions
    every = await kept.all(request.state.caller)
    if model is not None:
        wanted = context.catalogue.offer(model).model.fingerprint
        every = [one for one in every if one.fingerprint == wanted]
    found, more = page(request, every, lambda one: one.id, limit=20, most=1000)
    data = [_entry(kept, session) for session in found]
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return SessionList(data=data, first_id=ends[0], last_id=ends[1], has_more=more)


@_json.get("/{session_id}", openapi_extra={"parameters": [queried("text", _FLAG)]})
async def retrieve_session(session_id: str, request: Request, context: Served) -> SessionTree:
    """A session and its turns, with what was said in them if `text` is true."""
    kept, caller = context.sessions, request.state.caller
    session = await kept.find(caller, session_id)
    texts = await _texts(kept, caller, session) if _flag(request, "text") else {}
    data = [turn_entry(turn, texts.get(turn.id)) for turn in session.turns]
    fields = session_fields(session, kept.model(session.fingerprint))
    return SessionTree(**fields, newest=session.newest.id, data=data)


async def _texts(kept: KeptSessions, caller: str, session: Session) -> dict[str, Any]:
    """The messages of every turn. Each branch is read once."""
    found: dict[str, Any] = {}
    for leaf in session.branches:
        line = session.line(leaf)
        for turn in reversed(line):
            try:
                told = await kept.told(caller, session, turn)
            except InvalidRequest:
                continue
            before = 0
            for one in line[: turn.number]:
                part = told.up_to(len(one.path))
                found[one.id] = own_messages(part, before)
                before = len(part.messages)
            break
    return found


@_json.delete("/{session_id}")
async def delete_session(session_id: str, request: Request, context: Served) -> DeletedSession:
    """Forgets a session for good, and the conversations that were made of it."""
    kept, caller = context.sessions, request.state.caller
    session = await kept.find(caller, session_id)
    stored = _stored(request, context)
    made = await documents.made_of(stored, session.id)
    count = await kept.delete(caller, session)
    gone = await documents.forget(stored, made)
    return DeletedSession(id=session.id, snapshots=count, conversations=gone)


@_json.post("/{session_id}/fork")
async def fork_session(
    session_id: str, request: Request, context: Served, body: ForkBody | None = None
) -> Continuation:
    """Makes a conversation that goes on from a turn."""
    kept, caller = context.sessions, request.state.caller
    session = await kept.find(caller, session_id)
    turn, told = await _point(kept, caller, session, body.turn if body else None)
    return await _continuation(request, context, session, turn, told)


@_json.post("/{session_id}/rewind")
async def rewind_session(
    session_id: str, body: RewindBody, request: Request, context: Served
) -> Continuation:
    """Forgets for good what goes on from a turn, and makes a conversation that goes on there."""
    kept, caller = context.sessions, request.state.caller
    session = await kept.find(caller, session_id)
    turn, told = await _point(kept, caller, session, body.turn)
    stored = _stored(request, context)
    earlier = await documents.made_of(stored, session.id)
    made = await _continuation(request, context, session, turn, told)
    try:
        made.deleted = await kept.rewind(caller, session, turn)
    except ArchiveUnavailable:
        await stored.delete("conversation", made.id)
        raise
    await documents.cut_back(stored, earlier, told)
    return made


@_json.post("/{session_id}/pin")
async def pin_session(
    session_id: str, request: Request, context: Served, body: PinBody | None = None
) -> SessionEntry:
    """Keeps the states at the ends of its branches, or at that of a turn, from being given up."""
    return await _pin(session_id, request, context, body, pinned=True)


@_json.post("/{session_id}/unpin")
async def unpin_session(
    session_id: str, request: Request, context: Served, body: PinBody | None = None
) -> SessionEntry:
    """Takes that back, for all of them or for that of a turn."""
    return await _pin(session_id, request, context, body, pinned=False)


async def _pin(
    id: str, request: Request, context: Context, body: PinBody | None, *, pinned: bool
) -> SessionEntry:
    kept, caller = context.sessions, request.state.caller
    session = await kept.find(caller, id)
    given = body.turn if body else None
    turn = None if given is None else kept.turn(session, given)
    await kept.pin(caller, session, turn, pinned=pinned)
    return _entry(kept, await kept.find(caller, id))


@_json.get(
    "/{session_id}/export",
    response_class=StreamingResponse,
    responses=_FILE,
    openapi_extra={"parameters": [queried("turn", {"type": "string"}), queried("tree", _FLAG)]},
)
async def export_session(session_id: str, request: Request, context: Served) -> StreamingResponse:
    """A file of the branch that ends in `turn`, or with `tree` of all, for another server."""
    kept, caller = context.sessions, request.state.caller
    session = await kept.find(caller, session_id)
    wanted = request.query_params.get("turn")
    number = wanted is not None and wanted.isascii() and wanted.isdigit() and len(wanted) < 9
    turn = kept.turn(session, int(wanted) if number and wanted else wanted)
    parts = await context.transfers.export(caller, session, turn, tree=_flag(request, "tree"))

    async def body() -> AsyncIterator[bytes | memoryview]:
        for part in parts:
            yield part

    headers = {
        "content-length": str(sum(map(len, parts))),
        "content-disposition": f'attachment; filename="{session.id}.safetensors"',
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(body(), media_type=_MEDIA, headers=headers)


@router.post(IMPORT, openapi_extra=_BODY)
async def import_session(request: Request, context: Served) -> Continuation:
    """Takes an exported file, and makes a conversation that goes on where it ends."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _MEDIA:  # which no page of another origin may send without asking
        message = f"A session file is sent as {_MEDIA}."
        raise Refusal(415, message, code="unsupported_media_type")
    taken = await context.transfers.take(request.state.caller, request.stream())
    made = await _continuation(request, context, taken.session, taken.turn, taken.told)
    made.snapshots = taken.snapshots
    session = await context.sessions.find(request.state.caller, taken.session.id)
    state = context.sessions.turn(session, taken.turn.id).state
    made.pinned = state is not None and state.pinned
    return made


router.include_router(_json)


async def _point(
    kept: KeptSessions, caller: str, session: Session, wanted: int | str | None
) -> tuple[SessionTurn, Told]:
    kept.served(session)
    turn = kept.turn(session, wanted)
    if not turn.answered:
        message = "This turn has no answer that could be gone on from."
        raise InvalidRequest(message, param="turn", code="turn_not_answered")
    return turn, await kept.told(caller, session, turn)


async def _continuation(
    request: Request, context: Context, session: Session, turn: SessionTurn, told: Told
) -> Continuation:
    made = await documents.make(_stored(request, context), session, turn, told)
    return Continuation(
        **made["conversation"],
        session=session.id,
        turn=turn.id,
        model=context.sessions.served(session).id,
        tokens=None if turn.state is None else turn.state.tokens,
        pinned=turn.state is not None and turn.state.pinned,
    )


def _entry(kept: KeptSessions, session: Session) -> SessionEntry:
    return SessionEntry(**session_fields(session, kept.model(session.fingerprint)))

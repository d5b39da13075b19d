"""What is told of a conversation: lines that only grow, and names of questions and answers."""

from itertools import groupby
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat import path
from server.chat.beginnings import Beginnings
from server.chat.template import G1
from server.chat.told import Told, ToldError, load_told, paths
from server.chat.tools import custom_tool
from server.chat.types import Message, Tool, ToolCall
from server.engine.snapshot import NO_LINES, Lines
from server.session import PATH_STEP, conversation_key, extend
from tests.server.chat.talking import assistant, serving, user

CALL = ToolCall("call_1", "add", '{"a": 1}')
TALK = (
    Message("system", 'Two\nlines, a "quote" and \u2028'),
    user("one"),
    Message("assistant", "", (CALL,)),
    Message("tool", "2", tool_call_id="call_1"),
    assistant("done"),
)
TOOLS = (Tool("add", "Adds", {"type": "object", "default": None}, strict=True),)


def test_what_is_told_comes_back() -> None:
    for told in (Told(TALK, TOOLS), Told(TALK[:2])):
        assert load_told(told.dump()) == told


def test_what_was_told_is_read_back_with_calls_of_every_kind() -> None:
    calls = (ToolCall("a", "f", "{}"), ToolCall("b", "code", '{"input": "1"}', custom=True))
    messages = (
        Message("user", "Hi"),
        Message("assistant", "", calls),
        Message("tool", "4", tool_call_id="b"),
    )
    told = Told(messages, (Tool("f"), custom_tool("code", "Runs it", None, "tools.1.custom")))
    read = load_told(told.dump())
    assert read.messages == messages
    assert [(tool.name, tool.parameters) for tool in read.tools] == [
        (tool.name, tool.parameters) for tool in told.tools
    ]


def test_what_earlier_releases_told_can_be_read() -> None:
    data = (
        b'{"version":1,"messages":[{"role":"user","content":"a\\nb"},'
        b'{"role":"assistant","content":"c","tool_calls":[{"id":"i","name":"n","arguments":"{}"}]}],'
        b'"tools":[{"name":"n","description":"","parameters":null,"strict":false,"param":"tools"}]}'
    )
    called = Message("assistant", "c", (ToolCall("i", "n", "{}"),))
    assert load_told(Lines(data)) == Told((user("a\nb"), called), (Tool("n"),))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"version":2,"tools":[]}\n',
        b'{"version":2,"tools":[]}\n{"role":"user"}\n',
        b'{"version":2,"tools":[]}\n{"role":"user","content":"a"}]}\n',
        b'{"version":2,"tools":[],"more":1}\n{"role":"user","content":"a"}\n',
        b'{"version":3,"tools":[]}\n{"role":"user","content":"a"}\n',
    ],
)
def test_other_lines_are_refused(data: bytes) -> None:
    with pytest.raises(ToldError):
        load_told(Lines(data))


def test_what_goes_on_from_a_conversation_shares_its_lines() -> None:
    past = Told(TALK[:3], TOOLS).dump()
    whole = Told(TALK, TOOLS).dump(past)
    assert whole.previous is past
    assert whole.to_bytes() == Told(TALK, TOOLS).dump().to_bytes()
    assert whole.own_nbytes == whole.nbytes - past.nbytes


@pytest.mark.parametrize("other", [Told((user("other"),)), Told(TALK[:2]), Told(TALK[:1], TOOLS)])
def test_what_is_told_does_not_depend_on_what_was_told_before(other: Told) -> None:
    """Messages of equal keys may be written differently, and tools may have changed."""
    told = Told((Message("system", TALK[0].content + " "), *TALK[1:]), TOOLS)
    assert load_told(told.dump(other.dump())) == told
    assert told.dump(other.dump()).previous is None
    assert told.dump(NO_LINES).previous is None


async def test_the_lines_of_a_long_conversation_are_held_once() -> None:
    """Else a conversation would take memory by the square of its turns."""
    async with serving() as server:
        talk = [user("Hello")]
        for turn in range(6):
            answer = await server.ask(*talk)
            talk += [answer.message, user(f"And {turn}?")]
        entries = await server.sessions.entries("ann")
        loaded = [await server.sessions.load("ann", entry.key) for entry in entries]
        told = [snapshot.told for _, snapshot in filter(None, loaded) if snapshot.told]
        assert len(told) == 6
        assert sum(lines.own_nbytes for lines in told) == max(lines.nbytes for lines in told)


async def test_a_follow_up_names_questions_only_from_where_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the conversation is not a short one."""
    named: list[str] = []

    def counted(key: bytes, role: str, text: str) -> bytes:
        named.append(text)
        return extend(key, role, text)

    monkeypatch.setattr(path, "extend", counted)
    async with serving() as server:
        talk = [turn for n in range(5) for turn in (user(f"Hello {n}"), assistant("Hi."))]
        talk.append(user("Hello"))
        answer = await server.ask(*talk)
        named.clear()
        await server.ask(*talk, answer.message, user("And?"))
        assert named[:2] == [answer.text.strip(), "And?"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([user("q"), assistant("a"), Message("system", "s")]), max_size=9))
def test_a_path_names_whole_questions_and_answers(messages: list[Message]) -> None:
    model: Any = SimpleNamespace(
        fingerprint="model", template=G1, paths=Beginnings(lambda message: 1)
    )
    asked = [any(m.role != "assistant" for m in messages[: n + 1]) for n in range(len(messages))]
    answers = [known and m.role == "assistant" for known, m in zip(asked, messages, strict=True)]
    names = [extend(conversation_key(model.fingerprint, "ann"), "session", "")]
    for message in messages:
        names.append(extend(names[-1], *model.template.canonical(message)))
    runs = [list(run) for _, run in groupby(range(len(messages)), answers.__getitem__)]
    ends = [names[run[-1] + 1][:PATH_STEP] for run in runs]
    walked = paths(model, "ann", messages)
    assert walked[-1].whole == b"".join(ends)
    for number, run in enumerate(runs):
        assert {walked[n + 1].before for n in run} == {b"".join(ends[:number])}

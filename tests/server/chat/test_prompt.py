"""Where a conversation can be resumed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat import beginnings
from server.chat.prompt import Links
from server.chat.template import G1, headed
from server.chat.tools import NO_TOOLS, Toolbox, toolbox
from server.chat.types import Message, Tool, ToolCall, ToolChoice
from server.session import conversation_key, extend

TALK = (
    Message("system", "Be brief."),
    Message("user", "Hello"),
    Message("assistant", "Hi!"),
    Message("user", "Bye"),
)

CALLED = Message("assistant", "", (ToolCall("a", "f", "{}"),))
LISTED = G1.tools.listing.text((Tool("f"),))
MESSAGES = st.lists(
    st.sampled_from(
        [
            *TALK,
            Message("user", ""),
            Message("assistant", ""),
            CALLED,
            Message("tool", "3", tool_call_id="a"),
            Message("system", LISTED),
        ]
    ),
    min_size=1,
    max_size=6,
)
TOOLBOXES = st.sampled_from([NO_TOOLS, toolbox((Tool("f"),), ToolChoice("required"))])


def layout(*messages: Message):
    return G1.lay_out(conversation_key("fingerprint", "caller"), messages)


def test_the_segments_are_the_text_of_the_conversation() -> None:
    text = "".join(segment.text for segment in layout(*TALK).segments)
    assert text == ("System: Be brief.\n\nUser: Hello\n\nAssistant: Hi!\n\nUser: Bye\n\nAssistant:")


def test_boundaries_follow_system_messages_answers_and_the_prompt() -> None:
    ends = [segment.text for segment in layout(*TALK).segments if segment.boundary]
    assert ends == ["System: Be brief.", " Hi!", "\n\nAssistant:"]


def test_an_answers_header_has_the_key_of_the_prompt_it_answered() -> None:
    header = next(s for s in layout(*TALK).segments if s.text == "\n\nAssistant:")
    assert header.key == layout(*TALK[:2]).segments[-1].key


def test_an_answers_end_has_the_key_its_turn_kept_it_under() -> None:
    end = next(s for s in layout(*TALK).segments if s.text == " Hi!")
    assert end.key == layout(*TALK[:3]).key


def test_no_state_is_kept_between_a_message_and_its_answers_header() -> None:
    assert [s.key for s in layout(*TALK).segments if "User:" in s.text] == [None, None]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(MESSAGES, TOOLBOXES, st.booleans()), max_size=6))
def test_a_prompt_is_laid_out_alike_whatever_was_laid_out_before(
    turns: list[tuple[list[Message], Toolbox, bool]],
) -> None:
    root, links = conversation_key("fingerprint", "caller"), Links(lambda message: 1)
    for messages, tools, goes_on in turns:
        lay_out = G1.go_on if goes_on else G1.lay_out
        alone = lay_out(root, messages, toolbox=tools)
        assert lay_out(root, messages, toolbox=tools, links=links) == alone


def test_a_follow_up_names_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []

    def counted(key: bytes, role: str, text: str) -> bytes:
        named.append(text)
        return extend(key, role, text)

    monkeypatch.setattr(headed, "extend", counted)
    monkeypatch.setattr(beginnings, "_SHORT", 0)
    root, links = conversation_key("fingerprint", "caller"), Links(lambda message: 1)
    G1.lay_out(root, TALK, links=links)
    assert named == [message.content for message in TALK]
    named.clear()
    more = (Message("assistant", "Bye!"), Message("user", "And?"))
    G1.lay_out(root, (*TALK, *more), links=links)
    assert named == ["Bye!", "And?"]

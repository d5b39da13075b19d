"""Where a conversation can be resumed."""

from server.chat.template import G1
from server.chat.types import Message
from server.session import conversation_key

TALK = (
    Message("system", "Be brief."),
    Message("user", "Hello"),
    Message("assistant", "Hi!"),
    Message("user", "Bye"),
)


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

"""Segments: the G1 template, cut where the server cuts it."""

import random

import pytest

from models.gosling.dialogues import Dialogue, Message, Split, dialogue
from models.gosling.render import Segment, segments

CALL = '```json\n{"name": "get_time", "arguments": {"city": "Oslo"}}\n```'


def conversation(answer: str = "Hello!") -> tuple[Message, ...]:
    return (
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", answer),
        Message("user", "Bye"),
        Message("assistant", "Goodbye!"),
    )


def joined(d: Dialogue) -> str:
    return "".join(segment.text for segment in segments(d))


def test_segments_join_to_the_template() -> None:
    wanted = (
        "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello!\n\nUser: Bye\n\nAssistant: Goodbye!"
    )
    assert joined(Dialogue(conversation(), "talk")) == wanted


def test_the_first_message_has_no_break_in_front() -> None:
    d = Dialogue(conversation()[1:3], "talk")
    assert segments(d)[0].text == "User: Hi"


def test_an_answer_is_cut_into_header_and_body() -> None:
    d = Dialogue(conversation()[1:3], "talk")
    assert [s.text for s in segments(d)[1:]] == ["\n\nAssistant:", " Hello!"]


def test_only_answers_weigh_fully() -> None:
    d = Dialogue(conversation()[1:3], "talk")
    assert segments(d) == [
        Segment("User: Hi", 0.1),
        Segment("\n\nAssistant:", 0.0),
        Segment(" Hello!", 1.0),
    ]


def test_thinking_gives_every_answer_an_empty_thought() -> None:
    d = Dialogue(conversation()[1:], "talk", thinking=True)
    assert joined(d) == (
        "User: Hi\n\nAssistant: <think>\n</think>\nHello!"
        "\n\nUser: Bye\n\nAssistant: <think>\n</think>\nGoodbye!"
    )


def test_the_model_writes_the_end_of_the_thought_itself() -> None:
    d = Dialogue(conversation()[1:3], "talk", thinking=True)
    assert [s.text for s in segments(d)[1:]] == ["\n\nAssistant: <think>\n</think", ">\nHello!"]


def test_a_call_follows_the_header_like_any_answer() -> None:
    d = Dialogue(conversation(CALL), "tools")
    assert segments(d)[3].text == f" {CALL}"


def test_a_forced_call_finds_its_block_opened() -> None:
    d = Dialogue(conversation(CALL), "tools", forced=True)
    header, body = segments(d)[2:4]
    assert header.text == "\n\nAssistant: ```json"
    assert body.text == CALL.removeprefix("```json")


def test_forcing_leaves_other_answers_as_they_are() -> None:
    d = Dialogue(conversation(CALL), "tools", forced=True)
    assert [s.text for s in segments(d)[-2:]] == ["\n\nAssistant:", " Goodbye!"]


@pytest.mark.parametrize("split", list(Split))
def test_segments_of_drawn_dialogues_hold_every_message_in_order(split: Split) -> None:
    rng = random.Random(1)
    for _ in range(50):
        d = dialogue(rng, split)
        text, at = joined(d), 0
        for message in d.messages:
            at = text.index(message.content, at)

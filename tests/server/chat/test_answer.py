"""Tokens that reach an answer together say what they say one by one."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.answer import Answer
from server.chat.thinking import Phase
from server.chat.types import ReasoningDelta, TextDelta, TurnEvent
from server.engine.messages import Finished, TokenSampled

PHASES: tuple[Phase, ...] = ("start", "opened", "thought", "closing", "answer")
PIECES = st.sampled_from(["<think>", "</think>", "</thi", "nk>", " ", "\n", "a", "é", ""])


def sampled(texts: Iterable[str]) -> list[TokenSampled]:
    return [TokenSampled("r", 0, 5, text) for text in texts]


def told(events: Iterable[TurnEvent]) -> tuple[str, str, list[TurnEvent]]:
    """Thoughts, text, and everything else."""
    events = list(events)
    thoughts = "".join(it.text for it in events if isinstance(it, ReasoningDelta))
    text = "".join(it.text for it in events if isinstance(it, TextDelta))
    return thoughts, text, [it for it in events if not isinstance(it, ReasoningDelta | TextDelta)]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PHASES), st.lists(st.lists(PIECES, max_size=5), max_size=6), st.booleans())
def test_any_groups_of_tokens_make_the_same_answer(
    phase: Phase, groups: list[list[str]], goes_on: bool
) -> None:
    begun = "So" if goes_on else ""
    together, single = (Answer(0, phase, None, None, begun) for _ in range(2))
    end = Finished("r", 0, "stop", "z", sum(map(len, groups)), None)
    whole = [event for group in groups for event in together.push(sampled(group))]
    parts = [e for group in groups for one in sampled(group) for e in single.push([one])]
    assert told([*whole, *together.close(end)]) == told([*parts, *single.close(end)])
    assert together.message == single.message


def test_tokens_of_text_are_told_as_one_part() -> None:
    answer = Answer(0, "answer", None)
    assert list(answer.push(sampled("Hello"))) == [TextDelta(0, "H"), TextDelta(0, "ello")]
    assert list(answer.push(sampled(" you"))) == [TextDelta(0, " you")]
    assert list(answer.push(sampled(["", ""]))) == []

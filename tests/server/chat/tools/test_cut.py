"""Texts that end within the beginning of a call."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat.tools import FENCED, CallSplitter, ContentPiece, ExpectedCalls
from tests.server.chat.tools.test_split import NAMES, PROPERTY, TAGS

AUTO = ExpectedCalls(FENCED, NAMES, held=True)
TAGGED = ExpectedCalls(TAGS, NAMES, held=True)
BEGUN = ExpectedCalls(FENCED, NAMES, "```json", held=True, required=True)
THOUGHT = ExpectedCalls(FENCED, NAMES, held=True, required=True)
STRICT = ExpectedCalls(FENCED, NAMES, held=True, strict=NAMES)
CALL = '```json\n{"name": "f", "arguments": {}}\n```'


def said(calls: ExpectedCalls, *parts: str, cut: bool = True) -> tuple[str, bool]:
    """The content of a text, and whether a call's beginning was left out of it."""
    splitter = CallSplitter(calls)
    pieces = [piece for part in parts for piece in splitter.push(part)] + splitter.close(cut=cut)
    content = "".join(piece.text for piece in pieces if isinstance(piece, ContentPiece))
    return content, splitter.unsaid


@pytest.mark.parametrize("words", ["", "Let me see."])
@pytest.mark.parametrize(
    ("calls", "text"),
    [(AUTO, CALL), (TAGGED, CALL.replace("```json", "<tool_call>"))],
)
def test_what_may_still_be_a_call_is_none_of_the_content_of_a_text_that_is_cut(
    calls: ExpectedCalls, text: str, words: str
) -> None:
    mark, named = len(calls.form.opening), text.index("{}")
    for end in range(mark, named):
        assert said(calls, f"{words}\n{text[:end]}" if words else text[:end]) == (words, True), end


def test_a_call_that_is_held_to_its_form_is_no_content_whatever_ends_it() -> None:
    begun = CALL.index('f"')
    assert said(AUTO, CALL[:begun], cut=False) == ("", True)
    assert said(AUTO, CALL[: begun - 1], cut=False) == (CALL[: begun - 1], False)


@pytest.mark.parametrize("calls", [BEGUN, THOUGHT])
@pytest.mark.parametrize("cut", [False, True])
def test_nothing_of_a_call_that_is_required_is_content(calls: ExpectedCalls, cut: bool) -> None:
    text = CALL.removeprefix(calls.begun)
    for end in range(1, text.index("{}")):
        assert said(calls, text[:end], cut=cut) == ("", True), text[:end]


def test_a_second_call_that_is_cut_is_no_content_either() -> None:
    assert said(BEGUN, CALL.removeprefix("```json"), "\n``") == ("", True)
    assert said(AUTO, CALL, "\n```json\n{") == ("", True)


@pytest.mark.parametrize(
    "text", ["", "Well. ", "`", "``", "```json\n[1", "```json\n{}", '```json\n{"name": "h", "a']
)
def test_what_cannot_be_a_call_stays_in_a_text_that_is_cut(text: str) -> None:
    assert said(AUTO, text) == (text, False)


def test_another_form_is_no_call_of_a_strict_tool() -> None:
    text = '```json\n{\n\n\n"name": "f", "arg'
    assert said(AUTO, text) == ("", True)
    assert said(STRICT, text) == (text, False)


@PROPERTY
@given(
    st.sampled_from([CALL, f"So.\n{CALL}\n{CALL}", "```json\n{}\n``` is it", "`a` ```json"]),
    st.integers(0, 90),
    st.lists(st.integers(0, 90), max_size=6),
    st.sampled_from([AUTO, THOUGHT]),
)
def test_pieces_say_what_the_whole_says(
    text: str, end: int, cuts: list[int], calls: ExpectedCalls
) -> None:
    text = text[:end]
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[a:b] for a, b in pairwise(places)]
    assert said(calls, *parts) == said(calls, text)

"""The text of a custom tool's call, from arguments in any pieces."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.tools import InputReader, input_arguments, input_text

TEXTS = st.text(st.sampled_from('aé😀"\\\n\t\x01\u2028/u{}: '), max_size=12)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.booleans(), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_pieces_add_up_to_the_text(text: str, ascii: bool, lengths: list[int]) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=ascii)
    reader, read, at, turn = InputReader(), "", 0, 0
    while at < len(arguments):
        length = lengths[turn % len(lengths)]
        read += reader.push(arguments[at : at + length])
        read.encode()  # never half of a pair
        at, turn = at + length, turn + 1
    assert read == text


@settings(max_examples=30, deadline=None)
@given(TEXTS)
def test_arguments_are_read_back(text: str) -> None:
    assert input_text(input_arguments(text)) == text


def test_a_call_that_was_cut_has_what_was_written() -> None:
    for arguments, text in (
        ("", ""),
        ('{"inp', ""),
        ('{"input":"a\\', "a"),
        ('{ "input" : "a\\nb', "a\nb"),
        ('{"input": "\\ud83d', ""),
        ('{"input": "x"', "x"),
    ):
        assert input_text(arguments) == text

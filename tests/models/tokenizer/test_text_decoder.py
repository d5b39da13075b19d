"""The incremental decoder against decoding the whole."""

import codecs
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from models.tokenizer.decoder import TextDecoder


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@settings(deadline=None)
@given(st.text(), st.lists(st.integers(0, 10_000)))
def test_split_text_comes_out_whole(text: str, cuts: list[int]) -> None:
    decoder = TextDecoder()
    parts = [decoder.push(part) for part in _split(text.encode(), cuts)]
    assert "".join(parts) + decoder.flush() == text


@settings(deadline=None)
@given(st.text(min_size=1))
def test_no_push_shows_a_part_of_a_character(text: str) -> None:
    decoder = TextDecoder()
    shown = ""
    for byte in text.encode():
        shown += decoder.push(bytes([byte]))
        assert text.startswith(shown)


@settings(deadline=None)
@given(st.binary(), st.lists(st.integers(0, 10_000)))
def test_any_bytes_decode_as_at_once_but_for_the_tail(data: bytes, cuts: list[int]) -> None:
    whole, used = codecs.utf_8_decode(data, "replace", False)
    decoder = TextDecoder()
    shown = "".join(decoder.push(part) for part in _split(data, cuts))
    assert (shown, decoder.pending) == (whole, data[used:])


def test_flush_drops_an_incomplete_character() -> None:
    decoder = TextDecoder()
    assert decoder.push("né🙂".encode()[:-1]) == "né"
    assert decoder.flush() == ""
    assert decoder.pending == b""


def test_a_byte_that_starts_nothing_is_replaced_at_once() -> None:
    assert TextDecoder().push(b"a\xffb") == "a\ufffdb"

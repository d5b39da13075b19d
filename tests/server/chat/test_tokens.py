"""Which tokens wrote which characters, for every way to cut a text into tokens."""

import codecs
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.chat.tokens import TokenLedger

PROPERTY = settings(max_examples=200, deadline=None)
TEXTS = st.text(st.sampled_from("ab \né🙂"), max_size=12)


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, list[bytes], list[int]]:
    """A text, the tokens that write it, and how much of it is delivered after each of them."""
    text = draw(TEXTS)
    data = text.encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=10)))
    tokens = [data[a:b] for a, b in pairwise([0, *cuts, len(data)])]
    utf8 = codecs.getincrementaldecoder("utf-8")()
    delivered, whole = [0], 0
    for token in tokens:
        whole += len(utf8.decode(token))
        delivered.append(draw(st.integers(delivered[-1], whole)))
    return text, tokens, delivered[1:]


@PROPERTY
@given(cut_texts())
def test_every_token_comes_once_and_in_order(case) -> None:
    _, tokens, delivered = case
    ledger = TokenLedger(tokens.__getitem__)
    found = []
    for number, end in enumerate(delivered):
        ledger.push(number)
        found += ledger.take(0, end)
    found += ledger.rest()
    assert [token.id for token in found] == list(range(len(tokens)))
    assert [token.data for token in found] == tokens


@PROPERTY
@given(cut_texts(), st.data())
def test_the_bytes_of_a_part_are_its_characters(case, data: st.DataObject) -> None:
    text, tokens, delivered = case
    start = data.draw(st.integers(0, delivered[-1]))
    ledger = TokenLedger(tokens.__getitem__)
    found = []
    for number, end in enumerate(delivered):
        ledger.push(number)
        found += ledger.take(start, max(start, end)) if end > start else ()
    found += ledger.take(start, delivered[-1], cut=True)
    assert b"".join(token.data for token in found).decode() == text[start : delivered[-1]]


@PROPERTY
@given(cut_texts())
def test_a_token_is_given_out_with_its_last_character(case) -> None:
    text, tokens, delivered = case
    ledger = TokenLedger(tokens.__getitem__)
    sizes, given_out = 0, 0
    for number, end in enumerate(delivered):
        ledger.push(number)
        sizes += sum(len(token.data) for token in ledger.take(0, end))
        given_out = len(text[:end].encode())
        assert sizes <= given_out


@PROPERTY
@given(cut_texts())
def test_offsets_count_the_characters_before_a_token(case) -> None:
    _, tokens, _ = case
    ledger = TokenLedger(tokens.__getitem__, offset=100)
    for number in range(len(tokens)):
        ledger.push(number)
    read = b""
    for token in ledger.rest():
        assert token.offset == 100 + len(read.decode(errors="ignore"))
        read += token.data


@PROPERTY
@given(cut_texts())
def test_the_white_space_at_the_beginning_is_counted(case) -> None:
    text, tokens, _ = case
    ledger = TokenLedger(tokens.__getitem__)
    for number in range(len(tokens)):
        ledger.push(number)
    assert ledger.blank == len(text) - len(text.lstrip())


def test_tokens_without_bytes_are_given_out_where_they_stand() -> None:
    ledger = TokenLedger([b"a", b"", b"b"].__getitem__)
    for number in range(3):
        ledger.push(number)
    assert [token.id for token in ledger.take(0, 1)] == [0, 1]


@PROPERTY
@given(st.lists(st.binary(max_size=3), max_size=6))
@example([b"\xed\xa0\xa0"])  # half a surrogate pair, which decoders give up late
def test_bytes_that_are_no_text_are_in_one_place_only(tokens: list[bytes]) -> None:
    """Every character of the text, be it a U+FFFD, is of the bytes that decoding gives it."""
    data = b"".join(tokens)
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    ledger = TokenLedger(tokens.__getitem__)
    for number in range(len(tokens)):
        ledger.push(number)
    at = len(text) // 2
    first = ledger.take(0, at, cut=True)
    assert b"".join(token.data for token in first).decode(errors="replace") == text[:at]

"""The watcher against the whole text: every split into tokens, every list of stops.

The oracle knows the text after every token. An answer is stopped by the first token after which
its text contains a stop string, and is cut where the earliest one begins. Until then everything
is delivered but the longest end of the text with which a stop string begins.
"""

import codecs
import re
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.stops import TextWatcher
from server.chat.tools import FENCED, CallPiece, CallSplitter, ContentPiece, ExpectedCalls
from server.engine.messages import Watched
from tests.doubles import ByteTokenizer

PROPERTY = settings(max_examples=100, deadline=None)
ALPHABET = "aab\n é🙂"
STOPS = st.lists(st.text(st.sampled_from(ALPHABET), min_size=1, max_size=5), max_size=4)
TEXTS = st.text(st.sampled_from(ALPHABET), max_size=24)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[bytes], list[str]]:
    """Tokens that cut a text anywhere, within characters too, and stop strings."""
    stops = draw(STOPS)
    parts = draw(st.lists(TEXTS | st.sampled_from(stops) if stops else TEXTS, max_size=3))
    data = "".join(parts).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=20)))
    if draw(st.booleans()):
        cuts = list(range(len(data)))
    bounds = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(bounds)], stops


@dataclass
class Run:
    """What a watcher said of every token, up to the one that stopped it."""

    tokens: list[bytes]
    said: list[Watched] = field(default_factory=list)
    closing: str = ""

    @property
    def stopped(self) -> bool:
        return bool(self.said) and self.said[-1].stopped

    @property
    def delivered(self) -> str:
        return "".join(watched.text for watched in self.said)


def run(tokens: list[bytes], stops: list[str]) -> Run:
    tokenizer = ByteTokenizer(tokens)
    watcher, done = TextWatcher(tokenizer, stops), Run(tokens)
    for number in range(len(tokens)):
        done.said.append(watcher.push(257 + number))
        if done.stopped:
            return done
    done.closing = watcher.close()
    return done


def texts_of(tokens: list[bytes]) -> list[tuple[str, bool]]:
    """(text, ends between characters) after every token, and before the first."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text, found = "", [("", True)]
    for token in tokens:
        text += decoder.decode(token)
        found.append((text, not decoder.getstate()[0]))
    return found


def cut(text: str, stops: list[str]) -> int | None:
    """Where the earliest stop string of a text begins."""
    return min((text.find(stop) for stop in stops if stop in text), default=None)


def decided(text: str, stops: list[str]) -> int:
    """How much of a text without a stop can no longer belong to one."""
    for start in range(len(text)):
        if any(stop.startswith(text[start:]) for stop in stops):
            return start
    return len(text)


def test_text_without_the_beginning_of_any_stop_is_not_looked_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []
    watch = TextWatcher._watch

    def watched(self: TextWatcher, text: str) -> Watched:
        looked.append(text)
        return watch(self, text)

    monkeypatch.setattr(TextWatcher, "_watch", watched)
    done = run([b" One", b" two", b" and", b"\n", b"\nU", b"s", b" four", b" five"], ["\n\nUser:"])
    assert looked == [" One", "\n", "\nU", "s", " four"]
    assert done.delivered == "One two and\n\nUs four five"
    assert [watched.clean for watched in done.said] == [1, 2, 3, 3, 3, 3, 7, 8]


def assert_as_the_oracle_says(tokens: list[bytes], stops: list[str]) -> None:
    done, texts = run(tokens, stops), texts_of(tokens)
    delivered = ""
    for count, watched in enumerate(done.said, start=1):
        text, _ = texts[count]
        start = cut(text, stops)
        end = decided(text, stops) if start is None else start
        delivered += watched.text
        assert watched.stopped == (start is not None)
        assert delivered == text[:end].lstrip()
        boundaries = [i for i in range(count + 1) if texts[i][1] and len(texts[i][0]) <= end]
        assert watched.clean == boundaries[-1]
        if watched.stopped:
            before = texts[watched.clean][0]
            assert before + ByteTokenizer().decode(watched.remainder) == text[:end]
        else:
            assert watched.remainder == ()
    if not done.stopped:
        assert len(done.said) == len(tokens)
        assert delivered + done.closing == texts[-1][0].lstrip()


@settings(max_examples=300, deadline=None)
@given(answers())
def test_any_split_of_any_text_is_watched_as_the_whole_text_says(
    answer: tuple[list[bytes], list[str]],
) -> None:
    assert_as_the_oracle_says(*answer)


@PROPERTY
@given(st.lists(st.binary(max_size=4), max_size=12), STOPS)
def test_bytes_that_are_no_text_are_watched_like_text(
    tokens: list[bytes], stops: list[str]
) -> None:
    assert_as_the_oracle_says(tokens, [*stops, "\ufffd\ufffd\ufffd"])


@PROPERTY
@given(answers())
def test_text_without_stops_is_never_held_back(answer: tuple[list[bytes], list[str]]) -> None:
    tokens, _ = answer
    done = run(tokens, [])
    assert done.closing == ""
    assert done.delivered == texts_of(tokens)[-1][0].lstrip()


def split(text: str) -> list[bytes]:
    """A token for every byte."""
    return [bytes([byte]) for byte in text.encode()]


@pytest.mark.parametrize(
    ("text", "stops", "answer"),
    [
        ("aaab", ["aab"], "a"),
        ("aabaab", ["aabaab"], ""),
        ("aabaaabaab", ["aabaab"], "aaba"),
        ("Hi\n\n\nUser:", ["\n\nUser:"], "Hi\n"),
        ("Hi\n\n\nUser:", ["\n\nUser:", "\nUser:"], "Hi\n"),
        ("Hi\nUser:", ["\n\nUser:", "\nUser:"], "Hi"),
        ("Hi\n\nUse it", ["\n\nUser:"], "Hi\n\nUse it"),
        ("one END two END", ["END"], "one "),
        ("abcd", ["bcd", "c"], "ab"),  # whole first is whole first, though it begins later
        ("🙂🙂é", ["🙂é"], "🙂"),
        ("stop", ["stop"], ""),
        ("  \n stop", ["stop"], ""),
        ("  \n text", ["stop"], "text"),
    ],
)
def test_the_text_before_a_stop_is_delivered(text: str, stops: list[str], answer: str) -> None:
    done = run(split(text), stops)
    assert done.delivered + done.closing == answer
    assert_as_the_oracle_says(split(text), stops)


@pytest.mark.parametrize(
    ("token", "stops", "answer"),
    [
        ("before END after", ["END"], "before "),
        ("a X b Y", ["Y", "X"], "a "),
        ("abcd", ["bcd", "c"], "a"),  # both are complete at once: the earlier beginning counts
        ("ENDEND", ["END"], ""),
    ],
)
def test_a_stop_within_one_token_is_found(token: str, stops: list[str], answer: str) -> None:
    done = run([token.encode()], stops)
    assert done.stopped
    assert done.delivered == answer
    assert_as_the_oracle_says([token.encode()], stops)


def test_a_stop_longer_than_any_token_window_is_found() -> None:
    stop = "x" * 500 + "!"
    done = run(split("x" * 700 + "!?"), [stop])
    assert (done.stopped, done.delivered) == (True, "x" * 200)


def test_a_remainder_starts_where_the_stop_cut_a_token() -> None:
    done = run([b"one ", b"two E", b"ND"], ["END"])
    assert (done.said[-1].clean, ByteTokenizer().decode(done.said[-1].remainder)) == (1, "two ")
    assert done.delivered == "one two "


def test_nothing_remains_when_the_stop_begins_with_a_token() -> None:
    done = run([b"one ", b"EN", b"D"], ["END"])
    assert (done.said[-1].clean, done.said[-1].remainder) == (1, ())


def test_white_space_that_was_not_delivered_still_belongs_to_the_state() -> None:
    done = run([b" ", b"Hi", b"END"], ["END"])
    assert (done.delivered, done.said[-1].clean, done.said[-1].remainder) == ("Hi", 2, ())


def test_tokens_without_bytes_change_nothing() -> None:
    assert_as_the_oracle_says(
        [b"", b"a", b"", b"\xf0\x9f", b"", b"\x99\x82", b"E", b"", b"N"], ["EN"]
    )


def test_half_a_character_at_the_end_is_not_delivered() -> None:
    done = run([b"a", b"\xf0\x9f\x99"], [])
    assert done.delivered + done.closing == "a"


def test_a_long_answer_is_watched_in_linear_time() -> None:
    tokenizer = ByteTokenizer()
    watcher = TextWatcher(tokenizer, ["\n\nUser:"])
    for _ in range(20_000):
        watcher.push(98)
    assert len(watcher._text) < 10
    assert len(watcher._boundaries) < 10


CALL = '```json\n{"name": "f", "arguments": {"a": "aa\\nb"}}\n```'
CALLS = ExpectedCalls(FENCED, frozenset("f"), held=True)


@st.composite
def called(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text with calls, and what begins like one, cut anywhere; no token is a whole call."""
    pieces = TEXTS | st.sampled_from([CALL, "\n\n" + CALL, "```json", "``", CALL[:20]])
    text = "".join(draw(st.lists(pieces, max_size=4)))
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=12))
    cuts += [match.end() + draw(st.integers(0, 20)) for match in re.finditer(r"```json\n\{", text)]
    bounds = sorted(min(cut, len(text)) for cut in cuts)
    return text, [text[a:b] for a, b in pairwise([0, *bounds, len(text)])]


def watched(parts: list[str], stop: str, *, template: bool) -> tuple[str, bool]:
    """What is delivered, and whether the stop string ended it."""
    tokenizer = ByteTokenizer([part.encode() for part in parts])
    stops = ((stop,), ()) if template else ((), (stop,))
    watcher, text = TextWatcher(tokenizer, *stops, trim=False, calls=CALLS), ""
    for number in range(len(parts)):
        said = watcher.push(257 + number)
        text += said.text
        if said.stopped:
            return text, True
    return text + watcher.close(), False


def said(text: str) -> tuple[str, int]:
    """Content, and the number of calls."""
    splitter = CallSplitter(CALLS)
    pieces = splitter.push(text) + splitter.close()
    content = "".join(piece.text for piece in pieces if isinstance(piece, ContentPiece))
    return content, sum(isinstance(piece, CallPiece) and bool(piece.name) for piece in pieces)


STOP = st.text(st.sampled_from("ab\n`j{"), min_size=1, max_size=4)


@PROPERTY
@given(called(), STOP, st.booleans())
def test_a_stop_beside_calls_does_not_depend_on_the_tokens(
    answer: tuple[str, list[str]], stop: str, template: bool
) -> None:
    text, parts = answer
    alone = watched(list(text), stop, template=template)
    assert watched(parts, stop, template=template) == alone
    delivered, stopped = alone
    assert text.startswith(delivered)
    assert stopped or delivered == text


@PROPERTY
@given(called(), STOP)
def test_a_stop_leaves_every_call_before_it_whole(answer: tuple[str, list[str]], stop: str) -> None:
    text, parts = answer
    delivered, stopped = watched(parts, stop, template=False)
    content, calls = said(delivered)
    everything, all_calls = said(text)
    assert everything.startswith(content.rstrip())
    assert calls <= all_calls
    if not stopped:
        assert (content, calls) == (everything, all_calls)
    if stopped:
        assert stop in text
        assert stop not in content


@PROPERTY
@given(st.lists(st.sampled_from([CALL, "\n" + CALL]), min_size=1, max_size=3), STOP)
def test_no_stop_lies_within_calls(parts: list[str], stop: str) -> None:
    text = "".join(parts).lstrip()
    assert watched(list(text), stop, template=False) == (text, False)

"""The native encoder against its twin, which test_vocabulary holds against a brute force."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.native.longest import NativeLongestMatch
from models.tokenizer import vocabulary
from models.tokenizer.longest import LongestMatch
from models.tokenizer.vocabulary import VocabularyTokenizer
from models.tokenizer.world import world_entries
from tests.models.tokenizer.texts import texts

BYTES = st.binary(min_size=1, max_size=6) | st.text("ab", min_size=1, max_size=9).map(str.encode)
DATA = st.binary(max_size=60) | st.text("abc", max_size=60).map(str.encode)


@settings(deadline=None, max_examples=60)
@given(entries=st.dictionaries(BYTES, st.integers(0, 2**31 - 1), max_size=40), data=DATA)
def test_any_vocabulary_matches_as_the_twin_does(entries: dict[bytes, int], data: bytes) -> None:
    # Some of the text is made of entries, so that there is something to find.
    whole = b"".join(list(entries)[:8]) + data
    assert NativeLongestMatch(entries).match(whole) == LongestMatch(entries).match(whole)


@cache
def ids() -> dict[bytes, int]:
    return {entry: token_id for token_id, entry in world_entries().items()}


def test_world_matches_as_the_twin_does() -> None:
    whole = "".join(texts(seed=7, count=3_000, entries=["Assistant:", "\n\n"])).encode()
    matched = NativeLongestMatch(ids()).match(whole)
    assert matched == LongestMatch(ids()).match(whole)
    assert matched[1] == len(whole) > 50_000


def test_without_the_library_the_twin_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "available", lambda: False)
    tokenizer = VocabularyTokenizer({1: b"a", 2: b"aa"}, "custom")
    assert isinstance(tokenizer._matcher, LongestMatch)
    assert tokenizer.encode("aaa") == [2, 1]

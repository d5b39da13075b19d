"""Custom vocabularies against a brute-force longest match and the reference parser."""

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rwkv.rwkv_tokenizer import TRIE_TOKENIZER  # type: ignore[import-untyped]

from models.tokenizer.base import TokenizerError
from models.tokenizer.vocabulary import (
    VocabularyTokenizer,
    read_vocabulary,
    vocabulary_fingerprint,
)

_LETTERS = "ab\né🙂"
_BYTES = sorted(set(_LETTERS.encode()))


def _brute_force(entries: dict[int, bytes], data: bytes) -> list[int]:
    ids = []
    while data:
        fitting = [token_id for token_id, token in entries.items() if data.startswith(token)]
        ids.append(max(fitting, key=lambda token_id: len(entries[token_id])))
        data = data.removeprefix(entries[ids[-1]])
    return ids


@settings(deadline=None)
@given(
    st.sets(st.text(_LETTERS, min_size=1, max_size=9).map(str.encode), max_size=30),
    st.text(_LETTERS, max_size=60),
)
def test_encodes_the_longest_entry_first(longer: set[bytes], text: str) -> None:
    tokens = [*(bytes([byte]) for byte in _BYTES), *sorted(longer)]
    entries = dict(enumerate(dict.fromkeys(tokens), start=1))
    tokenizer = VocabularyTokenizer(entries, "custom")
    assert tokenizer.encode(text) == _brute_force(entries, text.encode())
    assert tokenizer.decode(tokenizer.encode(text)) == text


def _write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes(end.join(lines).encode())
    return path


@pytest.mark.parametrize(
    "written",
    ["'é'", '"\'"', "'\"'", r"'\''", r"'\u00a0'", "'\u00a0'", "r'a'", "'a' 'b'", "(  'a')"],
)
def test_reads_a_literal_as_python_does(written: str, tmp_path: Path) -> None:
    token = ast.literal_eval(written).encode()
    path = _write(tmp_path / "custom.txt", f"1 {written} {len(token)}")
    assert read_vocabulary(path) == {1: token}


def test_reads_a_file_as_the_reference_does(tmp_path: Path) -> None:
    lines = ["7 '\\n' 1", "1 b'\\xe4\\xbd' 2", '3 "\'" 1', "12 '你 好' 7", "5 '\x85' 2", "6 ' ' 1"]
    path = _write(tmp_path / "custom.txt", *lines, "")
    assert read_vocabulary(path) == TRIE_TOKENIZER(str(path)).idx2token


def test_encodes_as_the_reference_when_two_ids_share_their_bytes(tmp_path: Path) -> None:
    path = _write(tmp_path / "custom.txt", "2 'a' 1", "1 'a' 1", "4 'aa' 2", "3 b'aa' 2")
    tokenizer = VocabularyTokenizer(read_vocabulary(path), "custom")
    assert tokenizer.encode("aaa") == TRIE_TOKENIZER(str(path)).encode("aaa")


def test_line_ends_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    unix = read_vocabulary(_write(tmp_path / "unix.txt", "1 'a' 1", "2 'b' 1"))
    dos = read_vocabulary(_write(tmp_path / "dos.txt", "1 'a' 1", "2 'b' 1", "", end="\r\n"))
    assert vocabulary_fingerprint(unix) == vocabulary_fingerprint(dos)


def test_another_entry_changes_the_fingerprint() -> None:
    assert vocabulary_fingerprint({1: b"a", 2: b"b"}) != vocabulary_fingerprint({1: b"b", 2: b"a"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 'a' 1", "1 'b' 1"], r":2 gives id 1 a second time"),
        (["1 'é' 1"], r":1 .* it has 2 bytes, not 1"),
        (["0 'a' 1"], r":1 .* id 0 ends the text"),
        (["1 '' 0"], r":1 .* not empty"),
        (["1 12 2"], r":1 .* str or bytes"),
        (["2147483648 'a' 1"], r":1 .* ids end at 2147483647"),
        (["1 ''' 1"], r":1 is not `id 'text' length`"),
        (["1 'a'b' 3"], r":1 is not `id 'text' length`"),
        (["1 open('x') 1"], r":1 is not `id 'text' length`"),
        (["1 'a"], r":1 is not `id 'text' length`"),
        (["1 '\\ud800' 3"], r":1 is not `id 'text' length`"),
        (["word"], r":1 is not `id 'text' length`"),
        ([""], r"is empty"),
    ],
)
def test_a_faulty_file_is_refused_with_the_reason(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        read_vocabulary(_write(tmp_path / "custom.txt", *lines))


def test_text_without_an_entry_is_refused_by_its_character() -> None:
    tokenizer = VocabularyTokenizer({1: b"a", 2: "é".encode(), 3: b"\xf0"}, "custom")
    with pytest.raises(TokenizerError, match=r"'🙂' \(U\+1F642\), character 2 "):
        tokenizer.encode("éa🙂a")


def test_gaps_between_ids_are_padding() -> None:
    tokenizer = VocabularyTokenizer({1: b"a", 4: b"b"}, "custom")
    assert tokenizer.vocab_size == 5
    assert tokenizer.padding_ids(7) == [2, 3, 5, 6]

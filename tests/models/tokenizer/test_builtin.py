"""Tokenizers that need no file."""

import pytest

from models.tokenizer.base import TokenizerError
from models.tokenizer.load import load
from models.tokenizer.world import world


def test_world_can_be_named() -> None:
    assert load("world", 65_536) is world()


def test_another_string_is_a_path() -> None:
    with pytest.raises(TokenizerError, match=r"absent\.json"):
        load("absent.json", 65_536)


def test_ids_of_bytes_are_the_bytes() -> None:
    assert load("bytes", 256).encode("né\n🙂") == list("né\n🙂".encode())


def test_bytes_become_text_again() -> None:
    assert load("bytes", 320).decode(list("né 🙂".encode())) == "né 🙂"


def test_the_byte_that_ends_texts_is_in_none() -> None:
    tokenizer = load("bytes", 256)
    assert tokenizer.eos_id == 0
    with pytest.raises(TokenizerError, match=r"U\+0000"):
        tokenizer.encode("a\0b")


def test_rows_beyond_the_bytes_are_padding() -> None:
    assert load("bytes", 260).padding_ids(260) == [256, 257, 258, 259]


def test_a_model_with_fewer_rows_than_bytes_is_refused() -> None:
    with pytest.raises(TokenizerError, match="bytes has ids up to 255"):
        load("bytes", 128)


def test_ids_are_no_text() -> None:
    tokenizer = load("ids", 7)
    assert tokenizer.decode([1, 2, 3]) == ""
    with pytest.raises(TokenizerError, match="no tokenizer; send token ids"):
        tokenizer.encode("a")


def test_no_id_is_padding_where_ids_are_no_text() -> None:
    assert load("ids", 7).padding_ids(7) == []


def test_every_built_in_has_a_fingerprint_of_its_own() -> None:
    assert len({load(name, 65_536).fingerprint for name in ("world", "bytes", "ids")}) == 3

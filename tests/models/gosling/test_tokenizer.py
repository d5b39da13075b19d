"""The tokenizer of the bundled model, trained here on a few sentences."""

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from models.gosling.tokenizer import (
    END,
    END_TEXT,
    Splits,
    load_tokenizer,
    save_tokenizer,
    spell,
    train_tokenizer,
)
from models.tokenizer.bpe import BpeTokenizer

TEXTS = [
    "User: Hello there, my name is Ada and I live in Oslo.",
    " Nice to meet you, Ada! Oslo sounds lovely.",
    "\n\nUser: What is my name, and where do I live?",
    ' ```json\n{"name": "weather", "arguments": {"town": "Oslo"}}\n```',
    "\n\nAssistant:",
] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, entries=400)


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.decode([token]) for token in tokenizer.encode(text).ids]


def test_the_same_texts_give_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    assert train_tokenizer(TEXTS, entries=400).to_str() == tokenizer.to_str()


def test_the_turn_marker_is_three_tokens(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "\n\nUser: hi")[:3] == ["\n\n", "User", ":"]


def test_a_blank_line_stands_alone_wherever_it_is(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "name \n\n\n live")[1:4] == [" ", "\n\n", "\n"]


def test_digits_are_single_and_carry_no_space(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, " 417") == [" ", "4", "1", "7"]


def test_a_word_carries_its_leading_space(tokenizer: Tokenizer) -> None:
    assert " Oslo" in pieces(tokenizer, "in Oslo")


def test_every_byte_has_a_token(tokenizer: Tokenizer) -> None:
    text = "".join(map(chr, range(1, 256))) + "日本 🦢 ŷ\u2028"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_no_text_becomes_the_id_that_ends_a_document(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(f"a{END_TEXT} {END_TEXT}").ids
    assert tokenizer.id_to_token(END) == END_TEXT
    assert END not in ids
    assert tokenizer.decode(ids) == f"a{END_TEXT} {END_TEXT}"


def test_the_server_encodes_as_training_did(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_tokenizer(tokenizer, tmp_path / "tokenizer.json")
    served = BpeTokenizer(tmp_path / "tokenizer.json")
    trained = load_tokenizer(tmp_path / "tokenizer.json")
    for text in [*TEXTS[:5], f"typed {END_TEXT}", "  two  spaces 42 \n\nend"]:
        assert served.encode(text) == trained.encode(text).ids
    assert served.eos_id == END


def test_splits_keep_the_text(tokenizer: Tokenizer) -> None:
    spelled = Splits(tokenizer).document(random.Random(1), rate=0.5)
    tokens = tokenizer.encode(TEXTS[0]).ids
    longer = spell(tokens, spelled)
    assert len(longer) > len(tokens)
    assert tokenizer.decode(longer) == TEXTS[0]

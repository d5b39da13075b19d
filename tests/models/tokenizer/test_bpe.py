"""`tokenizer.json` files, small ones made here, against `tokenizers` itself."""

import json
import os
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from models.tokenizer.base import TokenizerError
from models.tokenizer.bpe import BpeTokenizer
from models.tokenizer.pieces import byte_alphabet
from tests.models.tokenizer.texts import texts
from tests.models.tokenizer.tokenizer_files import byte_level, edit, sentence_piece


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    return byte_level(tmp_path / "tokenizer.json")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return sentence_piece(tmp_path / "tokenizer.json")


def test_the_alphabet_is_that_of_tokenizers() -> None:
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, range(0x800))) + "\uffff\U0010ffff"
    ((written, _),) = split.pre_tokenize_str(text)
    assert bytes(byte_alphabet()[character] for character in written) == text.encode()
    assert byte_alphabet().keys() == set(pre_tokenizers.ByteLevel.alphabet())


def test_encodes_ordinary_text_as_tokenizers_does(pile: Path) -> None:
    tokenizer, reference = BpeTokenizer(pile), Tokenizer.from_file(str(pile))
    sample = [*texts(seed=3, count=300)]
    assert [t for t in sample if tokenizer.encode(t) != reference.encode(t).ids] == []


NAMES = st.sampled_from(["<|endoftext|>", "<|padding|>", "    ", "   ", "hello", "\n\n"])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[BpeTokenizer, Tokenizer]:
    path = byte_level(tmp_path_factory.mktemp("both") / "tokenizer.json")
    reference = Tokenizer.from_file(str(path))
    reference.encode_special_tokens = True
    return BpeTokenizer(path), reference


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(st.one_of(NAMES, st.text(st.characters(exclude_categories=["Cs"])))))
def test_long_texts_are_encoded_as_short_ones(
    both: tuple[BpeTokenizer, Tokenizer], parts: list[str]
) -> None:
    tokenizer, reference = both
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.tokenizer.bpe._LONG", 0)
        ids = tokenizer.encode("".join(parts))
    assert ids == reference.encode("".join(parts)).ids


def test_byte_level_ids_decode_to_the_normalized_text(pile: Path) -> None:
    tokenizer = BpeTokenizer(pile)
    for text in texts(seed=4, count=300):
        assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)


def test_byte_fallback_ids_decode_to_the_text(llama: Path) -> None:
    tokenizer = BpeTokenizer(llama)
    for text in ["hello hello", "", " ", "hellö, 你好 🙂\n\n", *texts(seed=5, count=300)]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_byte_fallback_ids_are_those_of_tokenizers_after_a_space(llama: Path) -> None:
    reference = Tokenizer.from_file(str(llama))
    assert BpeTokenizer(llama).encode(" hello 你") == reference.encode("hello 你").ids


def test_segments_join_without_a_space_between_them(llama: Path) -> None:
    tokenizer = BpeTokenizer(llama)
    assert tokenizer.decode([*tokenizer.encode("hel"), *tokenizer.encode("lo")]) == "hello"


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
        {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
            ],
        },
    ],
)
def test_metaspace_puts_no_space_before_the_text(llama: Path, pre_tokenizer: object) -> None:
    tokenizer = BpeTokenizer(edit(llama, normalizer=None, pre_tokenizer=pre_tokenizer))
    assert tokenizer.decode(tokenizer.encode("hello hello")) == "hello hello"


def test_byte_level_puts_no_space_before_the_text(pile: Path) -> None:
    pre_tokenizer = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}
    tokenizer = BpeTokenizer(edit(pile, pre_tokenizer=pre_tokenizer))
    assert tokenizer.decode(tokenizer.encode("hello")) == "hello"


@pytest.mark.parametrize("name", ["<|endoftext|>", "<|padding|>"])
def test_the_name_of_a_special_token_is_ordinary_text(pile: Path, name: str) -> None:
    tokenizer = BpeTokenizer(pile)
    text = f"a{name} {name}{name}\n"
    ids = tokenizer.encode(text)
    assert not {0, 1} & set(ids)
    assert tokenizer.decode(ids) == text


def test_the_name_of_a_special_token_is_merged_like_other_text(pile: Path) -> None:
    ids = BpeTokenizer(pile).encode("<|endoftext|>")
    assert ids[0] == Tokenizer.from_file(str(pile)).token_to_id("<|")


def test_a_special_name_that_merges_can_spell_is_ordinary_text(tmp_path: Path) -> None:
    path = byte_level(tmp_path / "tokenizer.json", "the")
    special = Tokenizer.from_file(str(path)).token_to_id("the")
    tokenizer = BpeTokenizer(path)
    assert special not in tokenizer.encode("then the other")
    assert tokenizer.decode(tokenizer.encode("then the other")) == "then the other"


def test_a_special_token_of_one_character_is_refused_in_text(tmp_path: Path) -> None:
    tokenizer = BpeTokenizer(sentence_piece(tmp_path / "tokenizer.json", "o"))
    with pytest.raises(TokenizerError, match="special token 'o'"):
        tokenizer.encode("hello o")


def test_special_tokens_have_no_bytes_and_all_but_the_end_are_padding(pile: Path) -> None:
    tokenizer = BpeTokenizer(pile)
    assert (tokenizer.token_bytes(0), tokenizer.token_bytes(1)) == (b"", b"")
    assert tokenizer.padding_ids(tokenizer.vocab_size + 2) == [
        1,
        tokenizer.vocab_size,
        tokenizer.vocab_size + 1,
    ]


def test_added_tokens_that_are_text_keep_their_text(pile: Path) -> None:
    tokenizer = BpeTokenizer(pile)
    assert tokenizer.token_bytes(tokenizer.encode("    ")[0]) == b"    "


def test_the_end_id_is_found_by_its_name(llama: Path) -> None:
    assert BpeTokenizer(llama).eos_id == 2


def test_the_end_is_called_as_the_file_calls_it(llama: Path) -> None:
    assert BpeTokenizer(llama).eos_name == "</s>"


def test_truncation_and_padding_of_the_file_are_ignored(pile: Path) -> None:
    whole = BpeTokenizer(pile).encode("the quick brown fox")
    limits = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    assert BpeTokenizer(edit(pile, truncation=limits)).encode("the quick brown fox") == whole


def test_dropout_of_the_file_is_ignored(pile: Path) -> None:
    whole = BpeTokenizer(pile).encode("the quick brown fox")
    model = json.loads(pile.read_text())["model"] | {"dropout": 1.0}
    assert BpeTokenizer(edit(pile, model=model)).encode("the quick brown fox") == whole


def test_text_without_a_token_is_refused_by_its_character(tmp_path: Path) -> None:
    tokenizer = BpeTokenizer(byte_level(tmp_path / "tokenizer.json", alphabet=False))
    with pytest.raises(TokenizerError, match=r"no token for 'Z' \(U\+005A\)"):
        tokenizer.encode("the Z")


def test_a_lone_surrogate_is_refused_by_name(pile: Path) -> None:
    with pytest.raises(TokenizerError, match=r"U\+DC00"):
        BpeTokenizer(pile).encode("\udc00")


def test_a_plain_entry_named_like_an_end_ends_a_text_and_has_no_bytes(pile: Path) -> None:
    tokenizer = BpeTokenizer(edit(pile, added_tokens=[]))
    assert (tokenizer.eos_id, tokenizer.token_bytes(0)) == (0, b"")
    assert 0 not in tokenizer.encode("a <|endoftext|> b")


def test_a_file_without_an_end_is_refused(pile: Path) -> None:
    model = json.loads(pile.read_text())["model"]
    model["vocab"]["<other>"] = model["vocab"].pop("<|endoftext|>")
    with pytest.raises(TokenizerError, match="no special token that ends a text"):
        BpeTokenizer(edit(pile, added_tokens=[], model=model))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"decoder": None}, "its decoder is missing"),
        ({"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}}, "is WordPiece"),
        ({"model": {"type": "Nothing"}}, "tokenizers does not accept it"),
        ({"model": None}, "it has no model"),
    ],
)
def test_a_file_that_loses_bytes_is_refused_with_the_reason(
    pile: Path, sections: dict[str, object], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        BpeTokenizer(edit(pile, **sections))


def test_a_model_without_byte_fallback_is_refused(llama: Path) -> None:
    model = json.loads(llama.read_text())["model"] | {"byte_fallback": False}
    with pytest.raises(TokenizerError, match="byte_fallback is off"):
        BpeTokenizer(edit(llama, model=model))


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("no")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json cannot be read"):
        BpeTokenizer(path)


def test_the_fingerprint_is_the_same_in_another_process(pile: Path) -> None:
    program = (
        "import sys, pathlib; from models.tokenizer.bpe import BpeTokenizer; "
        "sys.stdout.write(BpeTokenizer(pathlib.Path(sys.argv[1])).fingerprint)"
    )
    command = [sys.executable, "-c", program, str(pile)]
    environment = os.environ | {"PYTHONHASHSEED": "12", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == BpeTokenizer(pile).fingerprint


def test_the_fingerprint_changes_with_the_file(pile: Path, tmp_path: Path) -> None:
    other = byte_level(tmp_path / "other.json", "<|other|>")
    assert BpeTokenizer(pile).fingerprint != BpeTokenizer(other).fingerprint


def test_threads_get_the_same_ids(pile: Path) -> None:
    tokenizer, sample = BpeTokenizer(pile), list(texts(seed=6, count=300))
    alone = [tokenizer.encode(text) for text in sample]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tokenizer.encode, sample)) == alone

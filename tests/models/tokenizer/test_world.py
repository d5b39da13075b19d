"""The World tokenizer against the `rwkv` package, which is the reference author's own."""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files

import pytest
from rwkv.rwkv_tokenizer import TRIE_TOKENIZER  # type: ignore[import-untyped]

from models.tokenizer.base import TokenizerError
from models.tokenizer.world import world, world_entries
from tests.models.tokenizer.texts import texts


@pytest.fixture(scope="module")
def reference() -> TRIE_TOKENIZER:
    with as_file(files("rwkv") / "rwkv_vocab_v20230424.txt") as path:
        return TRIE_TOKENIZER(str(path))


@pytest.fixture(scope="module")
def sample() -> list[str]:
    whole = [entry.decode() for entry in world_entries().values() if _is_utf8(entry)]
    return ["", *texts(seed=7, count=6_000, entries=whole)]


def _is_utf8(entry: bytes) -> bool:
    return entry.decode(errors="ignore").encode() == entry


def test_encodes_as_the_reference_does(reference: TRIE_TOKENIZER, sample: list[str]) -> None:
    assert [text for text in sample if world().encode(text) != reference.encode(text)] == []


def test_its_package_is_read_but_not_loaded() -> None:
    world()
    assert "pyrwkv_tokenizer" not in sys.modules


def test_decoding_gives_the_encoded_text_back(sample: list[str]) -> None:
    assert [text for text in sample if world().decode(world().encode(text)) != text] == []


def test_every_id_decodes_to_its_entry(reference: TRIE_TOKENIZER) -> None:
    entries = {token_id: world().token_bytes(token_id) for token_id in range(1, 65_530)}
    assert entries == reference.idx2token


def test_every_id_decodes_alone_even_a_part_of_a_character(reference: TRIE_TOKENIZER) -> None:
    decoded = {token_id: world().decode([token_id]) for token_id in range(65_536)}
    entries = dict.fromkeys(range(65_536), b"") | reference.idx2token
    assert decoded == {i: entry.decode(errors="replace") for i, entry in entries.items()}
    assert sum(not _is_utf8(entry) for entry in entries.values()) == 486


def test_ids_without_bytes_are_the_end_and_the_padding() -> None:
    without = [token_id for token_id in range(65_536) if not world().token_bytes(token_id)]
    assert without == [world().eos_id, *range(65_530, 65_536)]


def test_padding_leaves_the_end_id_to_the_sampler() -> None:
    assert world().padding_ids(65_536) == list(range(65_530, 65_536))


@pytest.mark.parametrize("token_id", [-1, 65_536, 2**40])
def test_an_unknown_id_has_no_bytes(token_id: int) -> None:
    assert world().token_bytes(token_id) == b""


def test_a_lone_surrogate_is_refused_by_name() -> None:
    with pytest.raises(TokenizerError, match=r"character 1 .* U\+D83D"):
        world().encode("a\ud83d")


def test_threads_get_the_same_ids(sample: list[str]) -> None:
    alone = [world().encode(text) for text in sample[:1_000]]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(world().encode, sample[:1_000])) == alone

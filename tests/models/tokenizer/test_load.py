"""Which tokenizer a model gets."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from models.tokenizer.base import TokenizerError
from models.tokenizer.load import load
from models.tokenizer.world import world
from tests.models.tokenizer.tokenizer_files import byte_level


def _custom(path: Path) -> Path:
    path.write_text("1 'a' 1\n2 'b' 1\n5 'ab' 2\n")
    return path


def _world_file(folder: Path) -> Path:
    with as_file(files("rwkv") / "rwkv_vocab_v20230424.txt") as source:
        return Path(shutil.copy(source, folder))


@pytest.mark.parametrize("vocab_size", [65_530, 65_536])
def test_without_a_path_a_world_sized_model_gets_world(vocab_size: int) -> None:
    assert load(None, vocab_size) is world()


def test_a_model_without_the_last_row_never_gets_its_id() -> None:
    tokenizer = load(None, 65_529)
    assert max(tokenizer.encode(" " * 300)) < 65_529
    assert tokenizer.fingerprint != world().fingerprint


def test_without_a_path_another_size_asks_for_the_file() -> None:
    with pytest.raises(TokenizerError, match=r"50,277 tokens.*20B_tokenizer\.json"):
        load(None, 50_277)


def test_a_copy_of_the_world_file_gives_world(tmp_path: Path) -> None:
    assert load(_world_file(tmp_path), 65_536) is world()


def test_a_directory_gives_the_vocabulary_in_it(tmp_path: Path) -> None:
    _world_file(tmp_path)
    assert load(tmp_path, 65_536) is world()


def test_a_directory_gives_its_tokenizer_json_first(tmp_path: Path) -> None:
    _custom(tmp_path / "rwkv_vocab_custom.txt")
    byte_level(tmp_path / "tokenizer.json")
    assert load(tmp_path, 512).name == "tokenizer.json"


def test_a_directory_with_two_vocabularies_is_refused(tmp_path: Path) -> None:
    for name in ("rwkv_vocab_1.txt", "rwkv_vocab_2.txt"):
        _custom(tmp_path / name)
    with pytest.raises(TokenizerError, match=r"2 files rwkv_vocab\*\.txt"):
        load(tmp_path, 320)


def test_another_vocabulary_is_used_as_it_is(tmp_path: Path) -> None:
    assert load(_custom(tmp_path / "music.txt"), 320).encode("aab") == [1, 5]


def test_ids_beyond_the_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="ids up to 5 but the model has only 5 tokens"):
        load(_custom(tmp_path / "music.txt"), 5)


@pytest.mark.parametrize("name", ["absent.txt", "absent.json", "vocabulary.bin"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(TokenizerError, match=name):
        load(tmp_path / name, 65_536)

"""Which file a folder stands for, and checkpoints in several files, whole and damaged."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.base import CheckpointError
from models.checkpoint import find_checkpoint
from tests.checkpoints import Sizes, random_rwkv7, save
from tests.layouts import from_pth, logits, refusal, write_shards

TINY = Sizes(layers=2, width=32, head_size=16, ffn_width=56, vocab_size=64, ranks=(8, 8, 4, 8))
INDEX = "model.safetensors.index.json"
FIRST = "model-00001-of-00003.safetensors"


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return random_rwkv7(TINY)


@pytest.fixture
def folder(tensors: dict[str, Tensor], tmp_path: Path) -> Path:
    return write_shards(tensors, tmp_path / "model", 3)


def rewrite(folder: Path, **changed: str) -> None:
    """Change where the index says tensors are."""
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] |= changed
    (folder / INDEX).write_text(json.dumps(index))


def test_official_names_in_several_files_are_read_as_one(
    folder: Path, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    assert torch.equal(logits(folder), from_pth(tensors, tmp_path))
    assert torch.equal(logits(folder / INDEX), logits(folder))


def test_the_index_stands_for_the_folder(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    assert find_checkpoint(folder) == folder / INDEX


def test_a_missing_part_is_named(folder: Path) -> None:
    (folder / FIRST).unlink()
    assert f"{FIRST} is missing" in refusal(folder)


@pytest.mark.parametrize("percent", [0, 1, 50, 99])
def test_a_part_that_was_cut_off_is_refused(percent: int, folder: Path) -> None:
    data = (folder / FIRST).read_bytes()
    (folder / FIRST).write_bytes(data[: len(data) * percent // 100])
    assert FIRST in refusal(folder)


@pytest.mark.parametrize(
    "place",
    ["../outside.safetensors", "/etc/passwd", "sub/x.safetensors", "..", ".", "", "a\0b", "\\x"],
)
def test_an_index_reaches_only_files_beside_it(place: str, folder: Path, tmp_path: Path) -> None:
    save({"emb.weight": torch.zeros(2, 2)}, tmp_path / "outside.safetensors")
    rewrite(folder, **{"emb.weight": place})
    said = refusal(folder)
    assert "no file of its own folder" in said or "is missing" in said


def test_a_path_out_of_the_folder_is_refused_though_it_exists(folder: Path, tmp_path: Path) -> None:
    save({"emb.weight": torch.zeros(2, 2)}, tmp_path / "outside.safetensors")
    rewrite(folder, **{"emb.weight": "../outside.safetensors"})
    assert "'../outside.safetensors', which is no file of its own folder" in refusal(folder)


def test_a_tensor_that_is_not_where_the_index_says_is_named(folder: Path) -> None:
    rewrite(folder, **{"blocks.9.note": FIRST})
    assert f"blocks.9.note is in {FIRST}, where it is not" in refusal(folder)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "7", "{}", "[" * 100_000),
        *('{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": null}'),
        *('{"weight_map": {"a": 7}}', '{"weight_map": {"a": ["x"]}}'),
    ],
)
def test_an_index_of_another_form_is_refused(content: str, folder: Path) -> None:
    (folder / INDEX).write_text(content)
    assert INDEX in refusal(folder)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    assert "there is no checkpoint at" in refusal(tmp_path / INDEX)


def test_a_part_with_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(marker)!r}, 'w').close()",)

    folder = write_shards({"a": torch.zeros(2), "b": torch.zeros(2)}, tmp_path / "m", 2)
    (folder / INDEX).unlink()
    torch.save({"a": Evil()}, folder / "pytorch_model-00001-of-00001.bin")
    index = {"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}
    path = folder / "pytorch_model.bin.index.json"
    path.write_text(json.dumps(index))
    assert "holds more than tensors" in refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["model.safetensors", "pytorch_model.bin", "config.json"], "model.safetensors"),
        ([INDEX, FIRST, "pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin"], INDEX),
        (["pytorch_model.bin", "optimizer.bin", "training_args.bin"], "pytorch_model.bin"),
        (["pytorch_model.bin.index.json", "x-00001-of-00002.bin"], "pytorch_model.bin.index.json"),
        (["model.gguf", "README.md"], "model.gguf"),
        (["model.st", "vocab.json"], "model.st"),
    ],
)
def test_a_folder_stands_for_its_only_checkpoint(
    names: list[str], expected: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert find_checkpoint(tmp_path) == tmp_path / expected


@pytest.mark.parametrize(
    "names",
    [[], ["a.pth", "b.gguf"], ["model.safetensors", INDEX], [FIRST, FIRST.replace("1", "2")]],
)
def test_a_folder_with_none_or_several_is_refused_by_their_names(
    names: list[str], tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(tmp_path)
    assert str(caught.value).endswith(f"found {', '.join(sorted(names)) or 'none'}")

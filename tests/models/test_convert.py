"""Checkpoints of every kind become one safetensors file that is whole or not there."""

import json
import struct
from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from models import convert as module
from models.base import CheckpointError
from models.checkpoint import open_checkpoint
from models.convert import convert
from tests import layouts
from tests.checkpoints import Sizes, random_rwkv, save

SIZES = Sizes(layers=2, width=64, head_size=32, ffn_width=96, vocab_size=64, ranks=(32,) * 4)
GENERATIONS = ("4", "5.0", "5.1", "5.2", "6", "7")


def run(source: Path, target: Path, dtype: str | None = None, *, replace: bool = False) -> Path:
    convert(
        source, target, dtype, tool="a test", replace=replace, progress=lambda done, total: None
    )
    return target


def refusal(source: Path, target: Path, dtype: str | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        run(source, target, dtype)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save(random_rwkv("7", SIZES), tmp_path / "model.pth")


@pytest.mark.parametrize("bonus", ["time_faaaa", "time_first"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_converted_file_is_the_same_checkpoint(
    generation: str, dtype: torch.dtype, bonus: str, tmp_path: Path
) -> None:
    tensors = random_rwkv(generation, Sizes(layers=2, bonus=bonus))
    path = save(tensors, tmp_path / "model.pth", dtype)
    target = run(path, tmp_path / "out.safetensors")
    assert open_checkpoint(target).spec == open_checkpoint(path).spec
    assert open_checkpoint(target).layout == "official"


def test_other_layouts_come_out_with_official_names_and_equal_logits(tmp_path: Path) -> None:
    tensors = random_rwkv("6", SIZES)
    save_file(layouts.web_rwkv(tensors), tmp_path / "model.st")
    target = run(tmp_path / "model.st", tmp_path / "out.safetensors")
    assert set(open_checkpoint(target).tensors) == set(tensors)
    assert torch.equal(layouts.logits(target), layouts.logits(tmp_path / "model.st"))


def test_what_is_quantised_comes_out_as_its_values(tmp_path: Path) -> None:
    path = layouts.write_gguf(
        tmp_path / "model.gguf",
        "rwkv7",
        layouts.ggml(random_rwkv("7", SIZES), "rwkv7"),
        lambda _, tensor: Kind.Q4_0 if tensor.dim() == 2 else Kind.F32,
        [lambda writer: writer.add_wkv_head_size(32)],
    )
    target = run(path, tmp_path / "out.safetensors")
    assert torch.equal(layouts.logits(target), layouts.logits(path))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_the_number_format_is_the_one_that_was_asked_for(
    dtype: str, expected: torch.dtype, source: Path, tmp_path: Path
) -> None:
    found = open_checkpoint(run(source, tmp_path / "out.safetensors", dtype)).tensors
    original = open_checkpoint(source).tensors
    assert all(torch.equal(found[name], original[name].to(expected)) for name in original)
    assert {found[name].dtype for name in found} == {expected}


def test_the_file_says_what_it_was_made_from(source: Path, tmp_path: Path) -> None:
    with safe_open(run(source, tmp_path / "out.safetensors"), framework="pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "rwkv_generation": "7",
            "source_fingerprint": open_checkpoint(source).spec.fingerprint,
            "written_by": "a test",
        }


def test_the_data_begins_where_it_can_be_mapped(source: Path, tmp_path: Path) -> None:
    with run(source, tmp_path / "out.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        assert length % 8 == 0
        assert json.loads(file.read(length))["__metadata__"]["format"] == "pt"


def test_an_existing_file_is_replaced_only_when_that_is_asked_for(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.safetensors"
    target.write_bytes(b"precious")
    assert "exists already" in refusal(source, target)
    assert target.read_bytes() == b"precious"
    assert open_checkpoint(run(source, target, replace=True)).layout == "official"


def test_a_checkpoint_can_be_converted_in_its_own_place(tmp_path: Path) -> None:
    path = save(random_rwkv("7", SIZES), tmp_path / "model.safetensors")
    before = layouts.logits(path)
    assert torch.equal(layouts.logits(run(path, path, replace=True)), before)


def test_another_suffix_is_refused(source: Path, tmp_path: Path) -> None:
    assert "something.safetensors" in refusal(source, tmp_path / "out.pth")


def test_a_folder_that_is_not_there_is_refused(source: Path, tmp_path: Path) -> None:
    assert "cannot be written: No such file" in refusal(source, tmp_path / "no" / "x.safetensors")


def test_what_cannot_be_served_is_not_converted(tmp_path: Path) -> None:
    path = save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    assert "not an RWKV checkpoint" in refusal(path, tmp_path / "out.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["other.pth"]


def test_values_too_large_for_fp16_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    tensors = random_rwkv("7", SIZES)
    tensors["blocks.1.att.key.weight"][0, 0] = 70_000
    path = save(tensors, tmp_path / "model.pth")
    said = refusal(path, tmp_path / "out.safetensors", "fp16")
    assert "blocks.1.att.key.weight has values that fp16 cannot hold" in said
    assert [p.name for p in tmp_path.iterdir()] == ["model.pth"]


def test_nothing_is_left_when_it_is_stopped(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_converted", stop)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["model.pth"]


def test_progress_rises_from_nothing_to_everything(source: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    tensors: dict[str, Tensor] = random_rwkv("7", SIZES)
    convert(
        *(source, tmp_path / "out.safetensors", "bf16"),
        tool="a test",
        replace=False,
        progress=lambda *call: calls.append(call),
    )
    total = sum(tensor.numel() * 2 for tensor in tensors.values())
    assert calls[0] == (0, total)
    assert calls[-1] == (total, total)
    assert calls == sorted(calls)

"""How the library is found, which instruction set it takes, and who is computed by it."""

import logging
from pathlib import Path

import pytest
import torch

from models import loader
from models.backends import Backend, BackendError
from models.base import CheckpointError, Model
from models.native import choice, library
from models.native import isa as isas
from models.native.model import NativeModel
from models.rwkv7 import Rwkv7
from tests.checkpoints import Sizes, random_rwkv, save

USUAL = Sizes()
CPU = Backend(torch.device("cpu"), torch.bfloat16, "for tests")


def load(folder: Path, generation: str, dtype: str, sizes: Sizes = USUAL) -> Model:
    return loader.load(save(random_rwkv(generation, sizes), folder / "model.pth"), CPU, dtype)


@pytest.mark.parametrize("dtype", ["bf16", "int8", "w8a8", "int4"])
@pytest.mark.parametrize("generation", ["4", "5.0", "5.1", "5.2", "6", "7"])
def test_every_generation_on_the_cpu_is_computed_natively(
    generation: str, dtype: str, tmp_path: Path
) -> None:
    assert isinstance(load(tmp_path, generation, dtype), NativeModel)


def test_the_instruction_set_is_named_in_one_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    load(tmp_path, "7", "bf16")
    said = [r.getMessage() for r in caplog.records if "native" in r.getMessage()]
    assert said == [f"computing in the native library, with {isas.instruction_sets()[0]}"]


@pytest.mark.parametrize("dtype", ["float32", "fp16"])
def test_the_other_formats_are_torchs(dtype: str, tmp_path: Path) -> None:
    assert isinstance(load(tmp_path, "7", dtype), Rwkv7)


def test_heads_that_the_library_does_not_take_are_torchs(tmp_path: Path) -> None:
    sizes = Sizes(width=96, head_size=24)
    assert isinstance(load(tmp_path, "7", "bf16", sizes), Rwkv7)
    with pytest.raises(
        CheckpointError, match=r"multiples of 16 channels, and this RWKV-7 has 24; take bf16"
    ):
        load(tmp_path, "7", "int8", sizes)


def test_int8_is_refused_on_a_gpu(tmp_path: Path) -> None:
    spec = load(tmp_path, "7", "bf16").spec
    with pytest.raises(CheckpointError, match="int8 is for the CPU, and the device is cuda"):
        choice.runs_natively(spec, torch.device("cuda"), torch.int8)
    assert not choice.runs_natively(spec, torch.device("cuda"), torch.bfloat16)


def test_progress_rises_from_nothing_to_everything(tmp_path: Path) -> None:
    tensors = random_rwkv("7")
    calls: list[tuple[int, int]] = []
    path = save(tensors, tmp_path / "model.pth")
    loader.load(path, CPU, "int8", lambda *call: calls.append(call))
    total = sum(tensor.nbytes for tensor in tensors.values())
    assert (calls[0], calls[-1]) == ((0, total), (total, total))
    assert calls == sorted(calls)


def test_without_the_library_torch_computes_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library.library.cache_clear()
    monkeypatch.setattr(library, "PATH", tmp_path / "librwkv.so")
    caplog.set_level(logging.INFO)
    try:
        assert isinstance(load(tmp_path, "7", "bf16"), Rwkv7)
        assert isinstance(load(tmp_path, "7", "bf16"), Rwkv7)
        with pytest.raises(CheckpointError, match="int8 needs the native library"):
            load(tmp_path, "7", "int8")
    finally:
        library.library.cache_clear()
    said = [r.getMessage() for r in caplog.records if "native" in r.getMessage()]
    assert said == ["the native library was not built; torch computes instead"]


def test_a_library_of_another_kind_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "librwkv.so"
    damaged.write_bytes(b"not a library")
    library.library.cache_clear()
    monkeypatch.setattr(library, "PATH", damaged)
    try:
        assert not library.available()
    finally:
        library.library.cache_clear()
    assert "cannot be loaded" in caplog.text


@pytest.mark.parametrize("isa", isas.instruction_sets())
def test_the_environment_forces_an_instruction_set(
    isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(isas.ISA_VARIABLE, isa)
    assert isas.chosen_isa() == isa


def test_unforced_the_best_instruction_set_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(isas.ISA_VARIABLE, raising=False)
    assert isas.chosen_isa() == isas.instruction_sets()[0]


def test_an_unknown_instruction_set_is_refused_with_the_known_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(isas.ISA_VARIABLE, "avx9")
    with pytest.raises(BackendError) as caught:
        load(tmp_path, "7", "bf16")
    assert str(caught.value) == ("RWKV_SERVER_ISA is 'avx9': use portable, avx2, avx512, amx, neon")


def test_an_instruction_set_of_another_processor_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isas, "instruction_sets", lambda: ("portable",))
    monkeypatch.setenv(isas.ISA_VARIABLE, "neon")
    with pytest.raises(BackendError, match=r"neon, which this processor does not run"):
        isas.chosen_isa()

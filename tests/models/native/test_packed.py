"""Packed weights kept in a file: read back as they were, and never trusted when they are not."""

import hashlib
import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import loader
from models.backends import Backend
from models.native import keeping, packed, packed_writer
from models.native.model import NativeModel
from models.native.packed import PackedFile
from tests.checkpoints import Sizes, random_rwkv, save
from tests.models.native.twins import DTYPES, TOKENS, native

CPU = Backend(torch.device("cpu"), torch.bfloat16, "for tests")
NAMES = ("bf16", "int8", "w8a8", "int4")
SMALL = Sizes(layers=2, width=96, head_size=32, ffn_width=72, vocab_size=41, ranks=(8, 8, 4, 8))
FRONT = 48
DIGESTS = ("e73e569acea14028", "5d73cd5d8cc4644d", "5d73cd5d8cc4644d", "642321c396454518")


@pytest.fixture(autouse=True)
def smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "SMALLEST", 0)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save(random_rwkv("7", SMALL), tmp_path / "model.safetensors")


@pytest.fixture
def packings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tensors that were packed, rather than read from a file."""
    found: list[str] = []
    put = NativeModel._put

    def counted(self: NativeModel, name: str, tensor: torch.Tensor) -> None:
        found.append(name)
        put(self, name, tensor)

    monkeypatch.setattr(NativeModel, "_put", counted)
    return found


def answer(path: Path, dtype: str = "int8", keep: str = "auto") -> torch.Tensor:
    model = loader.load(path, CPU, dtype, keep_packed=keep)
    assert isinstance(model, NativeModel)
    return model.forward(TOKENS[:20], [20], model.new_state(1))


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.packed"))


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("generation", ["4", "5.2", "6", "7"])
def test_the_second_load_packs_nothing_and_answers_the_same(
    generation: str, dtype: str, tmp_path: Path, packings: list[str]
) -> None:
    path = save(random_rwkv(generation), tmp_path / "model.pth")
    first = answer(path, dtype)
    packings.clear()
    assert torch.equal(answer(path, dtype), first)
    assert packings == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is mapped")
def test_weights_are_those_of_the_file_from_the_first_load_on(checkpoint: Path) -> None:
    for _ in range(2):
        model = loader.load(checkpoint, CPU, "int8", keep_packed="auto")
        (file,) = kept(checkpoint.parent)
        assert str(file) in Path("/proc/self/maps").read_text()
        del model
        assert str(file) not in Path("/proc/self/maps").read_text()


def test_where_a_file_cannot_be_mapped_it_is_read(
    checkpoint: Path, packings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answer(checkpoint)
    packings.clear()
    monkeypatch.setattr(PackedFile, "mappable", -1)  # no file, so that the system refuses
    assert torch.equal(answer(checkpoint), expected)
    assert packings == []


def test_a_model_goes_on_when_another_file_takes_the_place_of_its_own(checkpoint: Path) -> None:
    model = loader.load(checkpoint, CPU, "int8", keep_packed="auto")
    expected = model.forward(TOKENS[:20], [20], model.new_state(1))
    os.utime(checkpoint, ns=(1, 1))
    answer(checkpoint)
    assert torch.equal(model.forward(TOKENS[:20], [20], model.new_state(1)), expected)


def test_what_is_shared_outlives_the_model_whose_file_it_lies_in(checkpoint: Path) -> None:
    base = loader.load(checkpoint, CPU, "int8", keep_packed="auto")
    assert isinstance(base, NativeModel)
    expected = base.forward(TOKENS[:20], [20], base.new_state(1))
    names = list(random_rwkv("7", SMALL))
    sharing = NativeModel(base.spec, {}.items(), base.dtype, 1, base=base, shared=names)
    del base
    assert torch.equal(sharing.forward(TOKENS[:20], [20], sharing.new_state(1)), expected)


PEAK = """
import re, sys, torch
from pathlib import Path
from models import loader
from models.backends import Backend
from models.native.library import available

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10

assert available()
before = peak()
model = loader.load(Path(sys.argv[1]), Backend(torch.device("cpu"), torch.bfloat16, ""), "int8",
                    keep_packed=sys.argv[2])
print(peak() - before, loader.resident_bytes([model]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of memory")
def test_loading_takes_little_more_memory_than_the_packed_weights(tmp_path: Path) -> None:
    sizes = Sizes(layers=6, width=768, ffn_width=3072, vocab_size=4096)
    tensors = {n: t.bfloat16() for n, t in random_rwkv("7", sizes).items()}
    path = save(tensors, tmp_path / "model.safetensors")
    for keep in (str(tmp_path),) * 2:  # packed and kept, then mapped
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), keep], stdout=subprocess.PIPE, check=True
        )
        taken, resident = map(int, done.stdout.split())
        assert resident > 50 << 20
        assert taken < 1.2 * resident + (10 << 20)


def test_a_file_is_its_owners_alone(checkpoint: Path) -> None:
    answer(checkpoint)
    (file,) = kept(checkpoint.parent)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(checkpoint.parent.glob(".*")) == []


def test_each_format_has_a_file(checkpoint: Path) -> None:
    for dtype in NAMES:
        answer(checkpoint, dtype)
    assert len(kept(checkpoint.parent)) == len(NAMES)


def test_a_folder_can_be_named(checkpoint: Path, tmp_path: Path) -> None:
    answer(checkpoint, keep=str(tmp_path / "a" / "b"))
    assert len(kept(tmp_path / "a" / "b")) == 1
    assert kept(tmp_path) == []


def test_off_keeps_nothing(checkpoint: Path) -> None:
    answer(checkpoint, keep="off")
    assert kept(checkpoint.parent) == []


def test_beside_a_checkpoint_where_nothing_can_be_written_the_cache_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert keeping.folder_of("auto", Path("/models/a.pth")) == tmp_path / "rwkv-server"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert (
        keeping.folder_of("auto", Path("/models/a.pth")) == Path.home() / ".cache" / "rwkv-server"
    )


def test_a_small_model_is_not_kept(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "SMALLEST", 10**9)
    answer(checkpoint)
    assert kept(checkpoint.parent) == []


def test_a_checkpoint_that_was_written_again_is_packed_again(
    checkpoint: Path, packings: list[str]
) -> None:
    answer(checkpoint)
    packings.clear()
    os.utime(checkpoint, ns=(1, 1))
    answer(checkpoint)
    assert packings


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 200)


def only_a_front(file: Path) -> None:
    os.truncate(file, FRONT - 1)


def without_its_header(file: Path) -> None:
    os.truncate(file, FRONT + 10)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def another_kind(file: Path) -> None:
    file.write_bytes(b"x" * file.stat().st_size)


def flipped(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 16
    file.write_bytes(data)


def damaged_weights(file: Path) -> None:
    flipped(file, file.stat().st_size - 70)


def damaged_header(file: Path) -> None:
    flipped(file, FRONT + 30)


def rewritten(file: Path, **changes: object) -> None:
    """With another header, whose digest is right."""
    data = file.read_bytes()
    length = int.from_bytes(data[8:16], "little")
    header = json.loads(data[FRONT : FRONT + length])
    for name, value in changes.items():
        header[name] = value(header[name]) if callable(value) else value
    text = json.dumps(header).encode()
    file.write_bytes(b"RWKVPACK" + len(text).to_bytes(8, "little") + hashlib.sha256(text).digest())
    with file.open("ab") as out:
        out.write(text)
        out.write(data[FRONT + length :][max(len(text) - length, 0) :])


def another_version(file: Path) -> None:
    rewritten(file, key=lambda key: key | {"layout": key["layout"] + 1})


def without_a_key(file: Path) -> None:
    rewritten(file, key=None)


def without_a_tensor(file: Path) -> None:
    rewritten(file, tensors=lambda all: {n: p for n, p in all.items() if n != "head.weight"})


def no_tensors(file: Path) -> None:
    rewritten(file, tensors=[1, 2])


def beyond_its_end(file: Path) -> None:
    rewritten(file, tensors=lambda all: {n: [s + 2**40, z, c] for n, (s, z, c) in all.items()})


def before_its_beginning(file: Path) -> None:
    rewritten(file, tensors=lambda all: {n: [-64, z, c] for n, (s, z, c) in all.items()})


def of_other_sizes(file: Path) -> None:
    rewritten(file, tensors=lambda all: {n: [s, z + 64, c] for n, (s, z, c) in all.items()})


def for_all_to_write(file: Path) -> None:
    file.chmod(0o666)


def a_link(file: Path) -> None:
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


SPOILED = (
    *(truncated, only_a_front, without_its_header, empty, another_kind, damaged_weights),
    *(damaged_header, another_version, without_a_key, without_a_tensor, no_tensors),
    *(beyond_its_end, before_its_beginning, of_other_sizes, for_all_to_write, a_link, a_pipe),
)


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_a_file_that_cannot_be_trusted_is_noticed_and_made_again(
    spoil: object, checkpoint: Path, packings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected = answer(checkpoint)
    (file,) = kept(checkpoint.parent)
    assert callable(spoil)
    spoil(file)
    packings.clear()
    assert torch.equal(answer(checkpoint), expected)
    assert packings
    assert sum("it will be made again" in r.getMessage() for r in caplog.records) == 1
    packings.clear()
    assert torch.equal(answer(checkpoint), expected)
    assert packings == []


def test_a_file_of_another_owner_is_not_read(
    checkpoint: Path, packings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(checkpoint)
    packings.clear()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    answer(checkpoint)
    assert packings


def test_without_room_on_the_disk_the_model_runs_and_the_log_says_so(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(packed_writer, "_SPARE", 10**12)
    caplog.set_level(logging.WARNING)
    answer(checkpoint)
    assert "the disk is nearly full" in caplog.text
    assert kept(checkpoint.parent) == []


def test_what_a_killed_process_left_is_deleted_after_a_while(checkpoint: Path) -> None:
    answer(checkpoint)
    (file,) = kept(checkpoint.parent)
    old, fresh = (file.with_name(f".{file.name}.{n}.part") for n in "ab")
    for left in (old, fresh):
        left.write_bytes(b"x")
    os.utime(old, (1, 1))
    file.unlink()
    answer(checkpoint)
    assert (old.exists(), fresh.exists()) == (False, True)


@pytest.mark.parametrize(("dtype", "digest"), list(zip(DTYPES, DIGESTS, strict=True)), ids=str)
def test_a_change_of_the_layout_needs_another_number(dtype: torch.dtype, digest: str) -> None:
    """When this fails, raise packed.LAYOUT: files that are there already have the old layout."""
    model = native("7", SMALL, dtype)
    total = hashlib.sha256()
    for _, blob in sorted(model.packed(random_rwkv("7", SMALL)).items()):
        total.update(bytes(packed.view_of(blob, blob.size)))
    assert (packed.LAYOUT, total.hexdigest()[:16]) == (1, digest)

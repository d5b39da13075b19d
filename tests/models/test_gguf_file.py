"""GGUF headers, whole and lying."""

import random
import struct
import time
from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from models import files
from models.base import CheckpointError
from tests.layouts import rounded, write_gguf

TENSORS = {
    "a.weight": torch.arange(128.0).view(2, 64),
    "b.weight": torch.ones(3),
    "c.weight": torch.randn(4, 2, 32, generator=torch.Generator().manual_seed(1)),
}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "good.gguf", "rwkv7", TENSORS)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        files.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) == 1
    return message


def made(tmp_path: Path, *parts: bytes) -> Path:
    path = tmp_path / "made.gguf"
    path.write_bytes(b"".join(parts))
    return path


def head(tensors: int = 0, entries: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries)


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


def tensor(name: bytes = b"a", shape: tuple[int, ...] = (32,), kind: int = 0, at: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, at)


def test_tensors_are_read_as_they_were_written(good: Path) -> None:
    found = files.read(good)
    assert set(found) == set(TENSORS)
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def test_what_the_file_says_of_itself_is_read_without_its_lists(good: Path) -> None:
    assert files.read(good).metadata == {"general.architecture": "rwkv7"}


@pytest.mark.parametrize(
    ("kind", "dtype", "word"),
    [
        (Kind.F32, torch.float32, "float32"),
        (Kind.F16, torch.float16, "fp16"),
        (Kind.BF16, torch.bfloat16, "bf16"),
        (Kind.Q8_0, torch.float32, "Q8_0"),
        (Kind.Q5_1, torch.float32, "Q5_1"),
    ],
)
def test_every_type_has_its_outline_its_word_and_its_values(
    kind: Kind, dtype: torch.dtype, word: str, tmp_path: Path
) -> None:
    chosen = {"c.weight": TENSORS["c.weight"]}
    found = files.read(write_gguf(tmp_path / "m.gguf", "rwkv7", chosen, lambda *_: kind))
    outline = found.outline("c.weight")
    assert (outline.shape, outline.dtype, outline.device.type) == ((4, 2, 32), dtype, "meta")
    assert found.number_format("c.weight") == word
    assert torch.equal(found["c.weight"].float(), rounded(chosen["c.weight"], kind))
    assert found["c.weight"].dtype == dtype


def test_a_name_that_is_not_there_is_a_key_error(good: Path) -> None:
    with pytest.raises(KeyError):
        files.read(good)["absent"]


@pytest.mark.parametrize("seed", range(40))
def test_a_file_cut_off_anywhere_is_refused(good: Path, seed: int) -> None:
    data = good.read_bytes()
    # The last tensor may be followed by padding, which nothing needs.
    good.write_bytes(data[: random.Random(seed).randrange(len(data) - 32)])
    refusal(good)


@pytest.mark.parametrize("seed", range(80))
def test_flipped_bits_in_the_header_end_in_a_refusal_or_do_no_harm(good: Path, seed: int) -> None:
    random_, data = random.Random(seed), bytearray(good.read_bytes())
    for _ in range(1 + seed % 3):
        data[random_.randrange(400)] ^= 1 << random_.randrange(8)
    good.write_bytes(data)
    try:
        found = files.read(good)
        for name in found:
            assert found[name].shape == found.outline(name).shape
    except CheckpointError:
        pass


def test_lengths_beyond_the_end_are_refused_at_once(tmp_path: Path) -> None:
    huge = 2**63
    lying = [
        head(entries=huge),
        head(tensors=huge),
        head(entries=1) + text(b"x", huge),
        head(entries=1) + text(b"x") + struct.pack("<I", 8) + text(b"y", huge),
        *(
            head(entries=1) + text(b"x") + struct.pack("<IIQ", 9, kind, huge) + b"\0" * 64
            for kind in (0, 4, 8, 9, 12, 99)
        ),
        head(tensors=1) + tensor(at=huge),
        head(tensors=1) + tensor(shape=(huge, huge, huge, huge)),
        head(tensors=1) + text(b"a") + struct.pack("<I", 2**31),
    ]
    start = time.monotonic()
    for content in lying:
        refusal(made(tmp_path, content))
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        b"GGML" + b"\0" * 60,
        b"<html>404</html>" * 9,
        head(version=1) + b"\0" * 99,
        head(version=3 << 24) + b"\0" * 99,  # of a machine with the other byte order
        head(),  # nothing in it
        head(entries=1) + text(b"x") + struct.pack("<I", 13),
        head(entries=1) + text(b"\xff\xfe") + struct.pack("<IB", 7, 1),
        head(tensors=1) + tensor(kind=4) + b"\0" * 999,  # a type that was taken back
        head(tensors=1) + tensor(kind=9) + b"\0" * 999,  # Q8_1, which is for computing only
        head(tensors=1) + tensor(shape=()) + b"\0" * 999,
        head(tensors=1) + tensor(shape=(0,)) + b"\0" * 999,
        head(tensors=1) + tensor(shape=(33,), kind=8) + b"\0" * 999,  # no whole block
        head(tensors=1) + tensor(shape=(1, 1, 1, 1, 1)) + b"\0" * 999,
        head(tensors=2) + tensor() + tensor() + b"\0" * 999,
        head(tensors=1) + tensor(b"two\nlines") + b"\0" * 999,
    ],
    ids=lambda content: repr(content[:40]),
)
def test_headers_that_make_no_sense_are_refused(content: bytes, tmp_path: Path) -> None:
    refusal(made(tmp_path, content))


@pytest.mark.parametrize("value", [0, 3, 2**31 + 1])
def test_an_alignment_that_is_none_is_refused(value: int, tmp_path: Path) -> None:
    entry = text(b"general.alignment") + struct.pack("<II", 4, value)
    path = made(tmp_path, head(tensors=1, entries=1), entry, tensor(), b"\0" * 999)
    assert f"its alignment is {value}" in refusal(path)


@pytest.mark.parametrize("kind", [6, 8])
def test_an_alignment_that_is_no_whole_number_is_refused(kind: int, tmp_path: Path) -> None:
    value = struct.pack("<f", 32.5) if kind == 6 else text(b"many")
    entry = text(b"general.alignment") + struct.pack("<I", kind) + value
    refusal(made(tmp_path, head(tensors=1, entries=1), entry, tensor(), b"\0" * 999))

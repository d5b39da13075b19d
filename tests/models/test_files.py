"""Checkpoint files, whole and damaged in every way a download or a stranger can damage them."""

import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models import files
from models.base import CheckpointError
from tests.checkpoints import save

TENSORS = {
    "emb.weight": torch.arange(12.0).view(3, 4),
    "head.weight": torch.ones(3, 4),
    "blocks.0.att.r_k": torch.zeros(1, 4),
}
SUFFIXES = (".pth", ".safetensors")


@pytest.fixture(params=SUFFIXES)
def good(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return save(TENSORS, tmp_path / f"good{request.param}")


def read_all(path: Path) -> dict[str, torch.Tensor]:
    tensors = files.read(path)
    return {name: tensors[name].clone() for name in tensors}


def refusal(path: Path) -> str:
    """The one sentence with which `path` is refused; reading every tensor counts as reading."""
    with pytest.raises(CheckpointError) as caught:
        read_all(path)
    return str(caught.value)


def test_tensors_are_read_as_they_were_written(good: Path) -> None:
    found = files.read(good)
    assert set(found) == set(TENSORS)
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_number_format_of_the_file_is_kept(
    suffix: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    found = files.read(save(TENSORS, tmp_path / f"half{suffix}", dtype))
    assert {found[name].dtype for name in found} == {dtype}


def test_a_name_that_is_not_in_the_file_is_a_key_error(good: Path) -> None:
    found = files.read(good)
    assert "absent" not in found
    with pytest.raises(KeyError):
        found["absent"]


def test_a_missing_file_is_named() -> None:
    assert refusal(Path("/nowhere/model.pth")) == "there is no checkpoint at /nowhere/model.pth"


def test_a_folder_with_the_name_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pth").mkdir()
    assert "there is no checkpoint" in refusal(tmp_path / "model.pth")


@pytest.mark.parametrize("name", ["model", "model.onnx", "model.pth.tmp", "model.PTH.gz"])
def test_other_kinds_of_files_are_refused_by_their_suffix(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert "is not called what a checkpoint is: one of .pth," in refusal(tmp_path / name)


class Marking:
    """Pickled code: unpickling writes a file."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return exec, (f"open({str(self._marker)!r}, 'w').close()",)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_code_in_a_file_is_refused_and_does_not_run(form: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    content = TENSORS | {"evil": Marking(marker)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    refusal(path)
    assert not marker.exists()


def test_a_file_with_code_is_said_to_hold_more_than_tensors(tmp_path: Path) -> None:
    torch.save({"evil": Marking(tmp_path / "ran")}, tmp_path / "evil.pth")
    assert "holds more than tensors" in refusal(tmp_path / "evil.pth")


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), {}, 7, None, "text"])
def test_anything_but_a_dictionary_of_tensors_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    assert "not named tensors" in refusal(tmp_path / "other.pth")


@pytest.mark.parametrize("value", [1, "text", None, [1.0], {"inner": torch.ones(2)}])
def test_a_value_that_is_no_tensor_is_named(value: object, tmp_path: Path) -> None:
    torch.save({"step": value}, tmp_path / "other.pth")
    assert "'step', which is not a named tensor" in refusal(tmp_path / "other.pth")


def test_a_tensor_without_a_name_is_refused(tmp_path: Path) -> None:
    torch.save({7: torch.ones(2)}, tmp_path / "other.pth")
    assert "holds 7, which is not a named tensor" in refusal(tmp_path / "other.pth")


def test_a_file_in_the_format_before_zip_is_refused(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert "damaged or not a PyTorch file" in refusal(tmp_path / "old.pth")


@pytest.mark.parametrize("content", [b"", b"\0", b"PK\3\4", b"<html>404</html>", b"\xff" * 4096])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_something_else_is_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    assert str(path) in refusal(path)


@pytest.mark.parametrize("names", [(".pth", ".safetensors"), (".safetensors", ".pth")])
def test_a_file_with_the_wrong_suffix_is_refused(names: tuple[str, str], tmp_path: Path) -> None:
    path = save(TENSORS, tmp_path / f"right{names[0]}")
    path = path.rename(tmp_path / f"wrong{names[1]}")
    assert str(path) in refusal(path)


@pytest.mark.parametrize("percent", [1, 10, 50, 90, 99])
def test_half_a_download_is_refused(good: Path, percent: int) -> None:
    data = good.read_bytes()
    good.write_bytes(data[: len(data) * percent // 100])
    assert str(good) in refusal(good)


@pytest.mark.parametrize("lost", [1, 2, 8])
def test_a_file_that_lacks_its_last_bytes_is_refused(good: Path, lost: int) -> None:
    good.write_bytes(good.read_bytes()[:-lost])
    assert str(good) in refusal(good)


def rebuilt(path: Path, change: Callable[[str, bytes], bytes], method: int = 0) -> None:
    """Write a `.pth` again with some of its records changed."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression=method) as archive:
        for name, data in records.items():
            archive.writestr(name, change(name, data))


@pytest.fixture
def pth(tmp_path: Path) -> Path:
    return save(TENSORS, tmp_path / "model.pth")


def test_a_pth_whose_weights_are_cut_short_is_refused(pth: Path) -> None:
    rebuilt(pth, lambda name, data: data[:8] if name.endswith("/data/0") else data)
    assert str(pth) in refusal(pth)


def test_a_pth_without_one_of_its_records_is_refused(pth: Path) -> None:
    with zipfile.ZipFile(pth) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(pth, "w") as archive:
        for name, data in records.items():
            if not name.endswith("/data/1"):
                archive.writestr(name, data)
    assert str(pth) in refusal(pth)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b".",
        b"\x80\x02.",  # the end, with nothing on the stack
        b"\x80\x02h\x07.",  # something that was never remembered
        b"\x80\x02}X\xff\xff\xff\x7fabc",  # a string longer than the file
        b"\x80\x02}X\x02\0\0\0\xff\xfe.",  # a string that is not UTF-8
        b"\x80\x02K",  # a number that is cut off
        b"\x80\x02J\x01",
        b"\x80\x02}}s.",  # a key too few
        b"\x80\x02}]]s.",  # a key that cannot be one
        b"\x80\x02}t.",  # a tuple without a mark
        b"\x80\x02K\x01Q.",  # a storage reference that is a number
        b"\x80\x02)Q.",  # one that is empty
        b"\x80\x02K\x01K\x02R.",  # a call of a number
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",  # a tensor made of nothing
        b"\x80\x02ctorch._utils\n_rebuild_parameter\nK\x01K\x02K\x03\x87R.",
        b"\x80\x02ctorch\nfloat32\nK\x01b.",  # a number format with a state
        b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
        b"\x80\x02ccollections\nOrderedDict\n)RK\x01b.",
        b"\x80\x02c\xff\n\xff\n.",  # a name that is not text
        b"\x80\x02cnowhere",
        b"\x80\x09.",  # a protocol that does not exist
        b"\xff\xff\xff",
        b"\x80\x02\x8aA.",
    ],
    ids=repr,
)
def test_a_pth_with_a_damaged_index_is_refused(pth: Path, damaged: bytes) -> None:
    rebuilt(pth, lambda name, data: damaged if name.endswith("/data.pkl") else data)
    assert str(pth) in refusal(pth)


def survives(path: Path) -> bool:
    """Read every tensor; True, or False after a refusal. Any other exception is a failure."""
    try:
        read_all(path)
    except CheckpointError:
        return False
    return True


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bits_in_the_index_of_a_pth_end_in_a_refusal_or_do_no_harm(
    pth: Path, seed: int
) -> None:
    random_ = random.Random(seed)

    def flip(name: str, data: bytes) -> bytes:
        if not name.endswith("/data.pkl"):
            return data
        damaged = bytearray(data)
        for _ in range(1 + seed % 3):
            damaged[random_.randrange(len(damaged))] ^= 1 << random_.randrange(8)
        return bytes(damaged)

    rebuilt(pth, flip)
    survives(pth)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits_anywhere_end_in_a_refusal_or_do_no_harm(good: Path, seed: int) -> None:
    random_, data = random.Random(seed), bytearray(good.read_bytes())
    head = range(min(200, len(data))) if seed % 2 else range(len(data))
    for _ in range(3):
        data[random_.choice(head)] ^= 1 << random_.randrange(8)
    good.write_bytes(data)
    survives(good)


@pytest.mark.parametrize("seed", range(30))
def test_a_file_cut_off_anywhere_is_refused(good: Path, seed: int) -> None:
    data = good.read_bytes()
    good.write_bytes(data[: random.Random(seed).randrange(len(data))])
    assert not survives(good)


def safetensors(
    tmp_path: Path, header: object, data: bytes = b"", length: int | None = None
) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / "made.safetensors"
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(dtype: str = "F32", shape: tuple[int, ...] = (2,), offsets: object = (0, 8)) -> dict:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (entry(), b"\0" * 4),  # less data than promised
        (entry(), b"\0" * 12),  # more
        (entry(offsets=(0, 2**62)), b"\0" * 8),
        (entry(offsets=(8, 0)), b"\0" * 8),
        (entry(offsets=(-8, 0)), b"\0" * 8),
        (entry(offsets=(4, 12)), b"\0" * 12),
        (entry(shape=(3,)), b"\0" * 8),
        (entry(shape=(2**40, 2**40)), b"\0" * 8),
        (entry(shape=(-2,)), b"\0" * 8),
        (entry(dtype="F99"), b"\0" * 8),
        (entry(offsets=None), b"\0" * 8),
        (entry(offsets="08"), b"\0" * 8),
        ({"a": 1}, b""),
        ([], b""),
        (7, b""),
        (b"{", b""),
        (b"\xff\xfe", b""),
        (b"{" * 10_000, b""),
    ],
)
def test_a_safetensors_header_that_lies_is_refused(
    header: object, data: bytes, tmp_path: Path
) -> None:
    assert "made.safetensors" in refusal(safetensors(tmp_path, header, data))


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**40, 2**63, 2**64 - 1])
def test_a_safetensors_header_of_the_wrong_length_is_refused(length: int, tmp_path: Path) -> None:
    path = safetensors(tmp_path, entry(), b"\0" * 8, length)
    assert "damaged or not safetensors" in refusal(path)


def test_two_tensors_on_the_same_bytes_are_refused(tmp_path: Path) -> None:
    header = entry() | {"b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    assert "damaged or not safetensors" in refusal(safetensors(tmp_path, header, b"\0" * 8))


def test_a_safetensors_file_without_tensors_is_refused(tmp_path: Path) -> None:
    assert "not named tensors" in refusal(safetensors(tmp_path, {}))


@pytest.mark.parametrize("dtype", ["F6_E2M3", "F6_E3M2"])
def test_number_formats_that_torch_does_not_know_are_refused(dtype: str, tmp_path: Path) -> None:
    header = entry(dtype=dtype, shape=(8,), offsets=(0, 6))
    assert "made.safetensors" in refusal(safetensors(tmp_path, header, b"\0" * 6))


@pytest.mark.parametrize("record", ["/data.pkl", "/data/0"])
def test_a_pth_that_grows_when_it_is_unpacked_is_refused(pth: Path, record: str) -> None:
    grown = 20_000_000

    def inflate(name: str, data: bytes) -> bytes:
        return data + b"\0" * grown if name.endswith(record) else data

    rebuilt(pth, inflate, zipfile.ZIP_DEFLATED)
    assert pth.stat().st_size < grown // 50
    refusal(pth)


def test_tensors_that_do_not_lie_in_the_file_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2, device="meta")}, tmp_path / "meta.pth")
    assert "meta.pth" in refusal(tmp_path / "meta.pth")


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_sparse_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "sparse.pth")
    assert "sparse.pth" in refusal(tmp_path / "sparse.pth")


def test_compiled_code_is_refused(tmp_path: Path) -> None:
    path, buffer = tmp_path / "script.pth", io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("script/constants.pkl", pickle.dumps(()))
        archive.writestr("script/data.pkl", pickle.dumps({}))
        archive.writestr("script/version", b"3\n")
    path.write_bytes(buffer.getvalue())
    assert "script.pth" in refusal(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"PK\3\4" + b"x" * 200,
        lambda data: b"<html>404</html>" * 9,
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"blocks.0", b"blocks.\xff").replace(b"F32", b"F99"),
    ],
    ids=["empty", "no archive", "web page", "half", "bad name"],
)
def test_every_refusal_is_one_sentence(
    suffix: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = save(TENSORS, tmp_path / f"damaged{suffix}")
    path.write_bytes(damage(path.read_bytes()))
    message = refusal(path)
    assert len(message.splitlines()) == 1
    assert ". " not in message

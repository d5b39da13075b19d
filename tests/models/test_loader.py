"""From a path to a model: which file, in which number format, with what said on the way."""

from pathlib import Path

import pytest
import torch

from models import loader
from models.backends import Backend
from models.base import CheckpointError
from models.checkpoint import open_checkpoint
from models.native import choice
from models.native.model import NativeModel
from tests.checkpoints import Sizes, random_rwkv, random_rwkv7, save

TINY = Sizes(layers=2, width=32, head_size=16, ffn_width=64, vocab_size=40, ranks=(8, 8, 4, 8))
CPU = Backend(torch.device("cpu"), torch.bfloat16, "for tests")
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]


def answer(path: Path, dtype: str = "float32") -> torch.Tensor:
    model = loader.load(path, CPU, dtype)
    return model.forward(torch.tensor(TOKENS), [len(TOKENS)], model.new_state(1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return save(random_rwkv7(TINY), tmp_path / "model.pth")


def test_a_folder_with_one_checkpoint_stands_for_it(path: Path) -> None:
    (path.parent / "readme.md").write_text("about")
    assert loader.find_checkpoint(path.parent) == path
    assert torch.equal(answer(path.parent), answer(path))


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pth.part").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"should hold one .* found none"):
        loader.load(tmp_path, CPU)


def test_a_folder_with_two_checkpoints_is_refused_by_their_names(path: Path) -> None:
    save(random_rwkv7(TINY), path.parent / "b.safetensors")
    with pytest.raises(CheckpointError, match=r"found b\.safetensors, model\.pth"):
        loader.load(path.parent, CPU)


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        loader.load(tmp_path / "absent.pth", CPU)


def test_a_refusal_names_the_file_and_what_is_wrong(tmp_path: Path) -> None:
    tensors = random_rwkv7(TINY)
    del tensors["ln_out.bias"]
    path = save(tensors, tmp_path / "model.pth")
    with pytest.raises(CheckpointError) as caught:
        loader.load(path, CPU)
    assert str(caught.value) == f"{path} cannot be served: the tensor ln_out.bias is missing"


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_progress_rises_from_nothing_to_everything(name: str, tmp_path: Path) -> None:
    tensors = random_rwkv7(TINY)
    calls: list[tuple[int, int]] = []
    loader.load(save(tensors, tmp_path / name), CPU, progress=lambda *call: calls.append(call))
    total = sum(tensor.nbytes for tensor in tensors.values())
    assert calls[0] == (0, total)
    assert calls[-1] == (total, total)
    assert calls == sorted(calls)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_a_named_number_format_is_used_whatever_the_file_has(
    name: str, dtype: torch.dtype, path: Path
) -> None:
    assert loader.load(path, CPU, name).dtype == dtype


def test_auto_on_the_cpu_is_bf16_where_the_native_library_computes_it(path: Path) -> None:
    model = loader.load(path, CPU)
    assert isinstance(model, NativeModel)
    assert model.dtype == torch.bfloat16


def test_auto_is_float32_for_a_small_model_that_torch_computes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "available", lambda: False)
    assert loader.load(path, CPU).dtype == torch.float32


def test_auto_is_the_format_of_the_backend_for_a_big_model(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "available", lambda: False)
    monkeypatch.setattr(loader, "_SMALL_MODEL", 1000)
    assert loader.load(path, CPU).dtype == torch.bfloat16


@pytest.mark.parametrize("generation", ["4", "6", "7"])
@pytest.mark.parametrize("dtype", ["float32", "bf16", "int8", "w8a8", "int4"])
def test_what_a_model_will_take_is_known_beforehand(
    generation: str, dtype: str, tmp_path: Path
) -> None:
    sizes = Sizes(layers=3, width=512, head_size=64, ffn_width=2048, vocab_size=9000)
    path = save(random_rwkv(generation, sizes), tmp_path / "model.safetensors")
    found = open_checkpoint(path)
    chosen = loader.number_format(dtype, CPU, found.spec)
    taken = loader.resident_bytes([loader.load(path, CPU, dtype)])
    assert 0.9 * taken <= loader.weights_bytes(found, CPU, chosen) <= 1.3 * taken


def test_a_model_survives_that_its_file_is_replaced(path: Path) -> None:
    model = loader.load(path, CPU, "float32")
    before = model.forward(torch.tensor(TOKENS), [len(TOKENS)], model.new_state(1))
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    after = model.forward(torch.tensor(TOKENS), [len(TOKENS)], model.new_state(1))
    assert torch.equal(before, after)


def test_loading_twice_gives_equal_logits(path: Path) -> None:
    assert torch.equal(answer(path), answer(path))


def test_tensors_that_lie_across_in_memory_are_loaded_as_they_read(tmp_path: Path) -> None:
    tensors = random_rwkv7(TINY)
    strided = {n: t.mT.contiguous().mT if t.dim() == 2 else t for n, t in tensors.items()}
    torch.save(strided, tmp_path / "strided.pth")
    expected = answer(save(tensors, tmp_path / "model.pth"))
    assert torch.equal(answer(tmp_path / "strided.pth"), expected)


def test_the_parameters_of_a_module_are_loaded_like_tensors(tmp_path: Path) -> None:
    tensors = random_rwkv7(TINY)
    parameters = {name: torch.nn.Parameter(tensor) for name, tensor in tensors.items()}
    torch.save(parameters, tmp_path / "parameters.pth")
    expected = answer(save(tensors, tmp_path / "model.pth"))
    assert torch.equal(answer(tmp_path / "parameters.pth"), expected)


def test_tensors_that_ask_for_gradients_are_loaded_like_others(tmp_path: Path) -> None:
    tensors = random_rwkv7(TINY)
    expected = answer(save(tensors, tmp_path / "model.pth"))
    torch.save({n: t.requires_grad_() for n, t in tensors.items()}, tmp_path / "gradients.pth")
    assert torch.equal(answer(tmp_path / "gradients.pth"), expected)


@pytest.mark.parametrize("kind", ["meta", "sparse", "float4", "quantised"])
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensors_that_cannot_be_computed_with_are_refused(kind: str, tmp_path: Path) -> None:
    tensors = random_rwkv7(TINY)
    key = tensors["blocks.1.att.key.weight"]
    tensors["blocks.1.att.key.weight"] = {
        "meta": lambda: key.to("meta"),
        "sparse": key.to_sparse,
        "float4": lambda: torch.zeros(32, 32, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
        "quantised": lambda: torch.quantize_per_tensor(key, 0.1, 0, torch.qint8),
    }[kind]()
    torch.save(tensors, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError):
        loader.load(tmp_path / "odd.pth", CPU)


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize(
    "name",
    [
        "emb.weight",
        "head.weight",
        "ln_out.bias",
        *(
            f"blocks.1.att.{part}"
            for part in ("x_r", "w0", "w2", "g1", "k_k", "r_k", "ln_x.weight")
        ),
        *(f"blocks.1.{part}" for part in ("att.key.weight", "ffn.x_k", "ffn.value.weight")),
    ],
)
def test_a_tensor_with_one_more_dimension_of_size_one_is_refused_or_does_no_harm(
    name: str, place: int, tmp_path: Path
) -> None:
    tensors = random_rwkv7(TINY)
    expected = answer(save(tensors, tmp_path / "model.pth"))
    odd = save(tensors | {name: tensors[name].unsqueeze(place)}, tmp_path / "odd.pth")
    try:
        model = loader.load(odd, CPU, "float32")
    except CheckpointError:
        return
    logits = model.forward(torch.tensor(TOKENS), [len(TOKENS)], model.new_state(1))
    assert torch.equal(logits, expected)

"""What is told of a checkpoint that is not loaded."""

from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from models import gguf_file, loader
from models.summary import summarise
from tests import layouts
from tests.checkpoints import Sizes, random_rwkv, save

GENERATIONS = ("4", "5.0", "5.1", "5.2", "6", "7")
SIZES = Sizes(layers=2, width=64, head_size=32, ffn_width=96, vocab_size=40, ranks=(32,) * 4)


@pytest.mark.parametrize("dtype", ["float32", "bf16", "fp16"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_size_of_a_state_is_that_of_the_loaded_model(
    generation: str, dtype: str, tmp_path: Path
) -> None:
    path = save(random_rwkv(generation, SIZES), tmp_path / "model.pth")
    state = loader.load(path, layouts.CPU, dtype).new_state(1)
    assert summarise(path).state_bytes[dtype] == state.nbytes


def test_weights_need_what_their_numbers_take(tmp_path: Path) -> None:
    tensors = random_rwkv("7", SIZES)
    count = sum(tensor.numel() for tensor in tensors.values())
    found = summarise(save(tensors, tmp_path / "model.pth", torch.bfloat16))
    assert found.weights_bytes == {"float32": 4 * count, "bf16": 2 * count, "fp16": 2 * count}
    assert found.number_formats == {"bf16": count}


def test_number_formats_are_counted_by_parameters_the_most_common_first(tmp_path: Path) -> None:
    stored = layouts.ggml(random_rwkv("7", SIZES), "rwkv7")
    path = layouts.write_gguf(
        tmp_path / "model.gguf",
        "rwkv7",
        stored,
        lambda name, _: Kind.Q4_0 if name == "output.weight" else Kind.F32,
        [lambda writer: writer.add_wkv_head_size(32)],
    )
    found = summarise(path)
    others = found.spec.parameters - 40 * 64
    assert list(found.number_formats.items()) == [("float32", others), ("Q4_0", 40 * 64)]
    assert (found.layout, found.container) == ("llama.cpp", "GGUF")


def test_nothing_quantised_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = layouts.ggml(random_rwkv("7", SIZES), "rwkv7")
    path = layouts.write_gguf(
        tmp_path / "model.gguf",
        "rwkv7",
        stored,
        lambda _, tensor: Kind.Q8_0 if tensor.dim() == 2 else Kind.F32,
        [lambda writer: writer.add_wkv_head_size(32)],
    )
    monkeypatch.delattr(gguf_file.GgufTensors, "__getitem__")
    monkeypatch.setattr(gguf_file.GgufTensors, "__abstractmethods__", frozenset())
    assert summarise(path).spec.generation == "7"

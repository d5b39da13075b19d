"""What a model with an adapter has in common with its base in the native library."""

import gc
from pathlib import Path

import pytest
import torch

from models import loader
from models.adapters import Adapter, open_adapter
from models.base import Model
from models.native.model import NativeModel
from tests.checkpoints import Sizes, random_rwkv, save
from tests.models.adapters.files import CPU, load, logits, low_ranks

SIZES = Sizes(layers=2, width=64, head_size=32, ffn_width=64, vocab_size=4096, ranks=(8, 8, 4, 8))
CASES = [(g, d) for g in ("4", "5.2", "6", "7") for d in ("bf16", "int8")]
TOUCHED = ("blocks.0.att.key.", "blocks.1.att.output.", "blocks.1.ffn.value.")


def adapter_for(generation: str, path: Path) -> Adapter:
    """A LoRA of three matrices, which replaces a norm as well."""
    tensors, others = random_rwkv(generation, SIZES), random_rwkv(generation, SIZES, seed=1)
    chosen = {n: t for n, t in low_ranks(tensors).items() if n.startswith(TOUCHED)}
    name = "blocks.0.ln0.weight"
    return open_adapter(save(chosen | {name: others[name]}, path), alpha=8)


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, Adapter]:
    generation, dtype = request.param
    path = save(random_rwkv(generation, SIZES), tmp_path / "base.pth")
    return path, dtype, adapter_for(generation, tmp_path / "lora.pth")


def derive(path: Path, dtype: str, adapter: Adapter, base: Model | None) -> Model:
    model = loader.load(path, CPU, dtype, adapter=adapter, base=base)
    assert isinstance(model, NativeModel)
    return model


def test_a_model_that_shares_computes_what_one_alone_computes(case) -> None:
    path, dtype, adapter = case
    alone, base = derive(path, dtype, adapter, None), load(path, dtype)
    before = logits(base)
    model = derive(path, dtype, adapter, base)
    assert torch.equal(logits(model), logits(alone))
    assert torch.equal(logits(base), before)
    assert not torch.equal(logits(model), before)


def test_shared_weights_are_counted_once(case) -> None:
    path, dtype, adapter = case
    base, alone = load(path, dtype), derive(path, dtype, adapter, None)
    model = derive(path, dtype, adapter, base)
    size = {"bf16": 2, "int8": 1 + 2 / 64}[dtype]
    kept = (4096 * 64) * (2 + size)  # the embedding, which is bf16 always, and the head
    saved = loader.resident_bytes([base, alone]) - loader.resident_bytes([base, model])
    assert saved > kept
    assert loader.resident_bytes([base, base]) == loader.resident_bytes([base])


def test_what_is_shared_outlives_the_base(case) -> None:
    path, dtype, adapter = case
    base = load(path, dtype)
    model = derive(path, dtype, adapter, base)
    expected = logits(model)
    del base
    gc.collect()
    others = [load(path, dtype) for _ in range(2)]  # would take the memory if it were free
    assert torch.equal(logits(model), expected)
    assert others


@pytest.mark.parametrize("why", ["another checkpoint", "another format", "another adapter"])
def test_nothing_is_shared_with_a_model_of_other_weights(why: str, tmp_path: Path) -> None:
    path = save(random_rwkv("6", SIZES), tmp_path / "base.pth")
    adapter = adapter_for("6", tmp_path / "lora.pth")
    base = {
        "another checkpoint": lambda: load(
            save(random_rwkv("6", SIZES, 1), tmp_path / "b.pth"), "bf16"
        ),
        "another format": lambda: load(path, "int8"),
        "another adapter": lambda: derive(path, "bf16", adapter, None),
    }[why]()
    model, alone = (derive(path, "bf16", adapter, other) for other in (base, None))
    sizes = [loader.resident_bytes([m]) for m in (base, model)]
    assert loader.resident_bytes([base, model]) == sum(sizes)
    assert torch.equal(logits(model), logits(alone))


def test_progress_counts_what_is_loaded_and_not_what_is_shared(tmp_path: Path) -> None:
    path = save(random_rwkv("7", SIZES), tmp_path / "base.pth")
    calls: list[tuple[int, int]] = []
    adapter = adapter_for("7", tmp_path / "lora.pth")
    base = load(path, "bf16")
    loader.load(path, CPU, "bf16", lambda *call: calls.append(call), adapter, base)
    total = (64 * 64 * 3 + 64) * 4
    assert (calls[0], calls[-1]) == ((0, total), (total, total))

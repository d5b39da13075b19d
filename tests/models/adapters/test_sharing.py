"""What a model with an adapter has in common with the model it is based on."""

from pathlib import Path

import pytest
import torch

from models import loader
from models.adapters import Adapter, open_adapter
from models.base import Model
from models.layers import Network
from tests.checkpoints import Sizes, random_rwkv, save
from tests.models.adapters.files import CPU, load, logits, low_ranks

DEEP = Sizes(
    layers=8, width=32, head_size=16, ffn_width=56, vocab_size=40, ranks=(8, 8, 4, 8)
)  # so that float16 rescales
CASES = [(g, d) for g in ("4", "5.2", "6", "7") for d in ("float32", "fp16")]
TOUCHED = ("blocks.1.att.key.", "blocks.7.att.output.", "blocks.7.ffn.value.")


def pointers(model: Model) -> dict[str, int]:
    assert isinstance(model, Network)
    return {name: tensor.data_ptr() for name, tensor in model.tensors.items()}


def touching(generation: str, path: Path, *names: str) -> Adapter:
    """A LoRA of some matrices; names: tensors that it replaces."""
    tensors, others = random_rwkv(generation, DEEP), random_rwkv(generation, DEEP, seed=1)
    chosen = {n: t for n, t in low_ranks(tensors).items() if n.startswith(TOUCHED)}
    return open_adapter(save(chosen | {n: others[n] for n in names}, path), alpha=8)


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, Path]:
    generation, dtype = request.param
    return generation, dtype, save(random_rwkv(generation, DEEP), tmp_path / "base.pth")


def derive(path: Path, dtype: str, adapter: Adapter, base: Model | None) -> Model:
    return loader.load(path, CPU, dtype, adapter=adapter, base=base)


def test_tensors_that_the_adapter_leaves_alone_are_shared(case, tmp_path: Path) -> None:
    generation, dtype, path = case
    base = load(path, dtype)
    model = derive(path, dtype, touching(generation, tmp_path / "lora.pth"), base)
    one, other = pointers(base), pointers(model)
    differing = {name for name in one if one[name] != other[name]}
    assert differing == {f"{prefix}weight" for prefix in TOUCHED}


def test_a_model_that_shares_computes_what_one_alone_computes(case, tmp_path: Path) -> None:
    generation, dtype, path = case
    adapter = touching(generation, tmp_path / "lora.pth", "blocks.0.ln0.weight", "ln_out.bias")
    alone, base = derive(path, dtype, adapter, None), load(path, dtype)
    before = logits(base)
    assert torch.equal(logits(derive(path, dtype, adapter, base)), logits(alone))
    assert torch.equal(logits(base), before)


def test_a_first_norm_of_its_own_needs_an_embedding_of_its_own(case, tmp_path: Path) -> None:
    generation, dtype, path = case
    base = load(path, dtype)
    adapter = touching(generation, tmp_path / "lora.pth", "blocks.0.ln0.bias")
    one, other = pointers(base), pointers(derive(path, dtype, adapter, base))
    assert one["emb.weight"] != other["emb.weight"]


def test_shared_weights_are_counted_once(case, tmp_path: Path) -> None:
    generation, dtype, path = case
    base = load(path, dtype)
    model = derive(path, dtype, touching(generation, tmp_path / "lora.pth"), base)
    size = {"float32": 4, "fp16": 2}[dtype]
    own = (32 * 32 * 2 + 32 * 56) * size
    assert loader.resident_bytes([base]) == base.spec.parameters * size
    assert loader.resident_bytes([base, model]) == base.spec.parameters * size + own
    assert loader.resident_bytes([base, base]) == loader.resident_bytes([base])


@pytest.mark.parametrize("why", ["another checkpoint", "another format", "another adapter"])
def test_nothing_is_shared_with_a_model_of_other_weights(why: str, tmp_path: Path) -> None:
    path = save(random_rwkv("6", DEEP), tmp_path / "base.pth")
    adapter = touching("6", tmp_path / "lora.pth")
    base = {
        "another checkpoint": lambda: load(save(random_rwkv("6", DEEP, 1), tmp_path / "b.pth")),
        "another format": lambda: load(path, "fp16"),
        "another adapter": lambda: derive(path, "float32", adapter, None),
    }[why]()
    model = derive(path, "float32", adapter, base)
    assert not set(pointers(base).values()) & set(pointers(model).values())
    assert torch.equal(logits(model), logits(derive(path, "float32", adapter, None)))


def test_progress_counts_what_is_loaded_and_not_what_is_shared(tmp_path: Path) -> None:
    path = save(random_rwkv("7", DEEP), tmp_path / "base.pth")
    calls: list[tuple[int, int]] = []
    adapter = touching("7", tmp_path / "lora.pth")
    loader.load(path, CPU, "float32", lambda *call: calls.append(call), adapter, load(path))
    total = (32 * 32 * 2 + 32 * 56) * 4
    assert (calls[0], calls[-1]) == ((0, total), (total, total))


def test_a_model_outlives_the_file_of_its_adapter(tmp_path: Path) -> None:
    path = save(random_rwkv("7", DEEP), tmp_path / "base.pth")
    adapter = touching("7", tmp_path / "lora.pth", "blocks.1.att.x_r")
    model = derive(path, "float32", adapter, None)
    before = logits(model)
    with adapter.path.open("r+b") as file:
        file.write(b"\xff" * adapter.path.stat().st_size)
    assert torch.equal(logits(model), before)

"""Merged adapters against full checkpoints that are made by the definition of each kind."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import loader
from models.adapters import open_adapter
from models.base import Model
from tests.checkpoints import Sizes, random_rwkv, save
from tests.layouts import web_rwkv
from tests.models.adapters.files import (
    CPU,
    TINY,
    Tensors,
    load,
    logits,
    low_ranks,
    matrices,
    random,
    refusal,
)

GENERATIONS = ("4", "5.2", "6", "7")
ALPHA = 24.0


def plus_product(weight: Tensor, up: Tensor, down: Tensor, scale: float) -> Tensor:
    """W + scale·up·down, one rank after the other, in float64."""
    result = weight.double()
    for k in range(len(down)):
        result = result + scale * torch.outer(up[:, k].double(), down[k].double())
    return result


def with_lora(tensors: Tensors, adapter: Tensors, alpha: float) -> Tensors:
    merged = dict(tensors)
    for prefix, weight in matrices(tensors).items():
        up, down = adapter[f"{prefix}.lora_B"], adapter[f"{prefix}.lora_A"]
        merged[f"{prefix}.weight"] = plus_product(weight, up, down, alpha / len(down))
    return merged


def with_pissa(tensors: Tensors, adapter: Tensors, start: Tensors) -> Tensors:
    merged = dict(tensors)
    for prefix, weight in matrices(tensors).items():
        up, down = start[f"{prefix}.init_lora_B"], start[f"{prefix}.init_lora_A"]
        rest = plus_product(weight, up, down, -1)
        up, down = adapter[f"{prefix}.lora_B"], adapter[f"{prefix}.lora_A"]
        merged[f"{prefix}.weight"] = plus_product(rest, up, down, 1)
    return merged


def with_rows(tensors: Tensors, adapter: Tensors) -> Tensors:
    """DiSHA as it is computed in training: x·Wᵀ + (sum of the pieces of x, each r long)·D."""
    merged = dict(tensors)
    for prefix, weight in matrices(tensors).items():
        d = adapter[f"{prefix}.disha"]
        result = weight.clone()
        for i in range(weight.shape[1]):
            for o in range(weight.shape[0]):
                result[o, i] += d[i % len(d), o]
        merged[f"{prefix}.weight"] = result
    return merged


def with_blocks(tensors: Tensors, adapter: Tensors, size: int) -> Tensors:
    merged = dict(tensors)
    for prefix, weight in matrices(tensors).items():
        result = weight.clone()
        for top in range(0, weight.shape[0], size):
            for left in range(0, weight.shape[1], size):
                block = weight[top : top + size, left : left + size]
                d = adapter[f"{prefix}.disha"][left // size]
                result[top : top + size, left : left + size] = block + block @ d + d
        merged[f"{prefix}.weight"] = result
    return merged


def rows(tensors: Tensors, rank: int) -> Tensors:
    return {
        f"{prefix}.disha": random(rank, weight.shape[0])
        for prefix, weight in matrices(tensors).items()
    }


def blocks(tensors: Tensors, size: int) -> Tensors:
    return {
        f"{prefix}.disha": random(weight.shape[1] // size, size, size)
        for prefix, weight in matrices(tensors).items()
    }


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save(random_rwkv("7", TINY), tmp_path / "base.pth")


def merged(base: Path, adapter: Path, dtype: str = "float32", **options: object) -> Model:
    opened = open_adapter(adapter, **options)  # type: ignore[arg-type]
    return loader.load(base, CPU, dtype, adapter=opened)


def close(model: Model, expected: Tensors, folder: Path) -> bool:
    """Whether it computes what a full checkpoint of `expected` computes."""
    full = load(save(expected, folder / "full.pth"))
    return bool((logits(model) - logits(full)).abs().max() < 1e-5)


@pytest.mark.parametrize("generation", [*GENERATIONS, "5.0", "5.1"])
def test_a_lora_adds_its_product_by_alpha_over_rank(generation: str, tmp_path: Path) -> None:
    tensors = random_rwkv(generation, TINY)
    adapter = low_ranks(tensors)
    base, lora = save(tensors, tmp_path / "base.pth"), save(adapter, tmp_path / "lora.pth")
    model = merged(base, lora, alpha=ALPHA)
    assert close(model, with_lora(tensors, adapter, ALPHA), tmp_path)
    assert not torch.allclose(logits(model), logits(load(base)), atol=1e-2)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_pissa_puts_its_product_in_place_of_the_first_one(
    generation: str, tmp_path: Path
) -> None:
    tensors = random_rwkv(generation, TINY)
    adapter, start = low_ranks(tensors, seed=50), low_ranks(tensors, kind="init_")
    base, pissa = save(tensors, tmp_path / "base.pth"), save(adapter, tmp_path / "pissa.pth")
    model = merged(base, pissa, initial=save(start, tmp_path / "init_pissa.pth"))
    assert close(model, with_pissa(tensors, adapter, start), tmp_path)


def test_an_untrained_pissa_changes_nothing_but_rounding(base: Path, tmp_path: Path) -> None:
    tensors = random_rwkv("7", TINY)
    pissa = save(low_ranks(tensors), tmp_path / "pissa.pth")
    start = save(low_ranks(tensors, kind="init_"), tmp_path / "init_pissa.pth")
    assert close(merged(base, pissa, initial=start), tensors, tmp_path)


@pytest.mark.parametrize("rank", [1, 4, 5, 12])  # 5 and 12 divide no width
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_disha_of_rows_adds_them_to_every_piece_of_its_length(
    generation: str, rank: int, tmp_path: Path
) -> None:
    tensors = random_rwkv(generation, TINY)
    adapter = rows(tensors, rank)
    base, disha = save(tensors, tmp_path / "base.pth"), save(adapter, tmp_path / "disha.pth")
    assert close(merged(base, disha), with_rows(tensors, adapter), tmp_path)


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_disha_of_blocks_changes_every_block_by_that_of_its_column(
    generation: str, size: int, tmp_path: Path
) -> None:
    tensors = random_rwkv(generation, TINY)
    adapter = blocks(tensors, size)
    base, disha = save(tensors, tmp_path / "base.pth"), save(adapter, tmp_path / "disha.pth")
    assert close(merged(base, disha), with_blocks(tensors, adapter, size), tmp_path)


def test_bone_is_the_former_name_of_disha(base: Path, tmp_path: Path) -> None:
    tensors = random_rwkv("7", TINY)
    adapter = blocks(tensors, 8)
    former = {name.replace(".disha", ".bone"): tensor for name, tensor in adapter.items()}
    model = merged(base, save(former, tmp_path / "bone.pth"))
    assert close(model, with_blocks(tensors, adapter, 8), tmp_path)


REPLACED = {
    "4": ["blocks.1.att.time_decay", "blocks.0.att.time_mix_k", "blocks.1.ln1.weight"],
    "5.2": ["blocks.1.att.time_faaaa", "blocks.1.att.ln_x.bias", "ln_out.weight"],
    "6": ["blocks.1.att.time_maa_w2", "blocks.1.ffn.time_maa_k", "blocks.0.ln0.weight"],
    "7": ["blocks.1.att.x_r", "blocks.1.att.w0", "blocks.1.att.r_k", "blocks.0.ln0.bias"],
}


@pytest.mark.parametrize("with_table", [False, True])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_tensors_under_their_own_names_replace_the_checkpoints(
    generation: str, with_table: bool, tmp_path: Path
) -> None:
    tensors, others = random_rwkv(generation, TINY), random_rwkv(generation, TINY, seed=9)
    names = REPLACED[generation] + (["emb.weight", "head.weight"] if with_table else [])
    replaced = {name: others[name] for name in names}
    adapter = low_ranks(tensors)
    base = save(tensors, tmp_path / "base.pth")
    lora = save(adapter | replaced, tmp_path / "lora.pth")
    expected = with_lora(tensors, adapter, ALPHA) | replaced
    assert close(merged(base, lora, alpha=ALPHA), expected, tmp_path)


def test_a_replaced_vector_may_have_dimensions_of_size_one(base: Path, tmp_path: Path) -> None:
    tensors, other = random_rwkv("7", TINY), random(32)
    adapter = low_ranks(tensors) | {"blocks.1.att.x_r": other}
    lora = save(adapter, tmp_path / "lora.pth")
    expected = with_lora(tensors, adapter, ALPHA) | {"blocks.1.att.x_r": other.view(1, 1, 32)}
    assert close(merged(base, lora, alpha=ALPHA), expected, tmp_path)


@pytest.mark.parametrize("turn", [True, False])
def test_a_lora_of_web_rwkv_is_read_whether_it_is_turned_or_not(
    turn: bool, base: Path, tmp_path: Path
) -> None:
    tensors = random_rwkv("7", TINY)
    adapter = {name: tensor.half() for name, tensor in low_ranks(tensors).items()}
    stored = {
        name.replace("lora_A", "lora.0").replace("lora_B", "lora.1"): (
            tensor.T.contiguous() if turn and name.endswith("lora_A") else tensor
        )
        for name, tensor in adapter.items()
    }
    from safetensors.torch import save_file

    save_file(stored, tmp_path / "lora.st")
    model = merged(base, tmp_path / "lora.st", alpha=ALPHA)
    assert close(model, with_lora(tensors, adapter, ALPHA), tmp_path)


def test_an_adapter_fits_its_checkpoint_in_another_layout(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = random_rwkv("7", TINY)
    rounded = {name: tensor.half().float() for name, tensor in tensors.items()}
    save_file(web_rwkv(tensors), tmp_path / "base.st")
    adapter = low_ranks(tensors)
    model = merged(tmp_path / "base.st", save(adapter, tmp_path / "lora.pth"), alpha=ALPHA)
    assert close(model, with_lora(rounded, adapter, ALPHA), tmp_path)


@pytest.mark.parametrize("generation", ["6", "7"])
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_merging_is_in_float32_whatever_the_model_computes_in(
    dtype: str, generation: str, tmp_path: Path
) -> None:
    tensors = random_rwkv(generation, Sizes(layers=8, width=32, head_size=16, vocab_size=40))
    adapter = low_ranks(tensors)
    base, lora = save(tensors, tmp_path / "base.pth"), save(adapter, tmp_path / "lora.pth")
    full = save(with_lora(tensors, adapter, ALPHA), tmp_path / "full.pth", torch.float32)
    one = logits(merged(base, lora, dtype, alpha=ALPHA))
    other = logits(load(full, dtype))
    assert torch.allclose(one, other, atol=0.02 * float(other.abs().max()))


MISFITS: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "a layer too many": (
        lambda lora: (
            lora
            | {"blocks.2.att.key.lora_A": random(4, 32), "blocks.2.att.key.lora_B": random(32, 4)}
        ),
        "it is for a matrix blocks.2.att.key.weight, which there is not",
    ),
    "another width": (
        lambda lora: lora | {"blocks.1.att.key.lora_A": random(4, 48)},
        "its low ranks make a matrix [32, 48] for blocks.1.att.key.weight, "
        "which has shape [32, 32]",
    ),
    "a tensor of another generation": (
        lambda lora: lora | {"blocks.1.att.time_maa_x": random(32)},
        "it replaces blocks.1.att.time_maa_x, which there is not",
    ),
    "a tensor of another shape": (
        lambda lora: lora | {"blocks.1.att.w1": random(32, 4)},
        "it replaces blocks.1.att.w1 by shape [32, 4], expected [32, 8]",
    ),
    "a tensor and its change": (
        lambda lora: lora | {"blocks.1.att.key.weight": random(32, 32)},
        "it replaces blocks.1.att.key.weight and adds to it as well",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_lora_that_does_not_fit_is_refused(case: str, base: Path, tmp_path: Path) -> None:
    change, reason = MISFITS[case]
    lora = save(change(low_ranks(random_rwkv("7", TINY))), tmp_path / "lora.pth")
    message = refusal(lambda: merged(base, lora, alpha=ALPHA))
    assert message == f"{lora} does not fit the model: {reason}"


@pytest.mark.parametrize("shape", [(4, 48), (33, 32), (8, 32, 8), (4, 4, 8), (5, 6, 6), (32,)])
def test_a_disha_that_does_not_fit_is_refused(
    shape: tuple[int, ...], base: Path, tmp_path: Path
) -> None:
    disha = save({"blocks.1.att.key.disha": random(*shape)}, tmp_path / "disha.pth")
    message = refusal(lambda: merged(base, disha))
    assert f"has shape {list(shape)}, which does not fit the shape [32, 32]" in message


def test_blocks_that_do_not_divide_the_rows_are_refused(base: Path, tmp_path: Path) -> None:
    disha = {"blocks.1.ffn.key.disha": random(2, 16, 16)}  # the matrix is [56,32]
    message = refusal(lambda: merged(base, save(disha, tmp_path / "disha.pth")))
    assert "does not fit the shape [56, 32] of blocks.1.ffn.key.weight" in message


def test_the_fingerprint_depends_on_the_checkpoint_the_adapter_and_alpha(tmp_path: Path) -> None:
    tensors = random_rwkv("7", TINY)
    adapter = low_ranks(tensors)
    changed = {name: tensor.clone() for name, tensor in adapter.items()}
    changed["blocks.1.ffn.value.lora_B"][-1, -1] += 0.5
    bases = [save(random_rwkv("7", TINY, seed=i), tmp_path / f"{i}.pth") for i in (0, 1)]
    lora, other = save(adapter, tmp_path / "lora.pth"), save(changed, tmp_path / "other.pth")
    models = [
        *map(load, bases),
        merged(bases[0], lora, alpha=8),
        merged(bases[0], lora, alpha=math.nextafter(8, 9)),
        merged(bases[0], other, alpha=8),
        merged(bases[1], lora, alpha=8),
    ]
    assert len({model.spec.fingerprint for model in models}) == len(models)
    again = merged(bases[0], save(adapter, tmp_path / "again.pth"), alpha=8)
    assert again.spec.fingerprint == models[2].spec.fingerprint

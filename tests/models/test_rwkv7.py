"""RWKV-7 against the reference author's implementation."""

from pathlib import Path

import pytest
import torch

from models import loader
from models.backends import select
from models.base import Model
from tests.checkpoints import Sizes, random_rwkv7, save
from tests.models.reference import Reference

CASES = {
    "official": Sizes(),
    "no v0 in layer 0": Sizes(first_layer_residual=False),
    "small heads": Sizes(head_size=32),
    "odd ranks": Sizes(ranks=(24, 40, 8, 56)),
    "one wide head": Sizes(head_size=128),
    "small k and v": Sizes(kv_scale=0.15),
}
TOKENS = torch.randint(1, 320, (150,), generator=torch.Generator().manual_seed(7)).tolist()
TOLERANCE = 2e-4


def load(path: Path) -> Model:
    return loader.load(path, select("cpu"), "float32")


@pytest.fixture(params=CASES, scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("ckpt") / "model.pth"
    save(random_rwkv7(CASES[request.param]), path)
    return load(path), Reference(path).logits(TOKENS)


def feed(model: Model, parts: list[list[int]]) -> torch.Tensor:
    """Logits after the last of `parts`, fed one after the other to one sequence."""
    state = model.new_state(1)
    for part in parts:
        logits = model.forward(torch.tensor(part), [len(part)], state)
    return logits[0]


def close(ours: torch.Tensor, reference: torch.Tensor) -> bool:
    return bool((ours - reference).abs().max() < TOLERANCE)


def test_stepping_matches_the_reference(pair) -> None:
    model, reference = pair
    state = model.new_state(1)
    ours = torch.cat([model.forward(torch.tensor([t]), [1], state) for t in TOKENS])
    assert close(ours[1:], reference[1:])
    assert (ours[0] - reference[0]).abs().max() < 2e-3  # rounding alone moves token 0 this far


def test_prefill_in_one_forward_matches_the_reference(pair) -> None:
    model, reference = pair
    assert close(feed(model, [TOKENS]), reference[-1])


@pytest.mark.parametrize("size", [2, 31, 32, 33, 64])
def test_prefill_in_pieces_matches_the_reference(pair, size: int) -> None:
    model, reference = pair
    pieces = [TOKENS[i : i + size] for i in range(0, len(TOKENS), size)]
    assert close(feed(model, pieces), reference[-1])


def test_every_sequence_of_a_ragged_batch_matches_the_reference(pair) -> None:
    model, reference = pair
    fed, lengths = [5, 40, 1, 80, 33], [1, 1, 17, 1, 100]
    state = model.new_state(len(fed))
    for row, count in enumerate(fed):
        single = model.new_state(1)
        model.forward(torch.tensor(TOKENS[:count]), [count], single)
        state.write_row(row, single)
    tokens = [t for n, m in zip(fed, lengths, strict=True) for t in TOKENS[n : n + m]]
    logits = model.forward(torch.tensor(tokens), lengths, state)
    expected = reference[[n + m - 1 for n, m in zip(fed, lengths, strict=True)]]
    assert close(logits, expected)


def test_greedy_continuation_is_the_references(pair) -> None:
    model, reference = pair
    state = model.new_state(1)
    ours = [int(model.forward(torch.tensor([t]), [1], state).argmax()) for t in TOKENS]
    assert ours == reference.argmax(-1).tolist()


def test_a_bf16_file_computes_what_the_reference_computes(tmp_path: Path) -> None:
    path = save(random_rwkv7(), tmp_path / "model.pth", torch.bfloat16)
    reference = Reference(path).logits(TOKENS[:40])[-1]
    assert close(feed(load(path), [TOKENS[:40]]), reference)


def test_safetensors_and_pth_give_equal_logits(tmp_path: Path) -> None:
    tensors = random_rwkv7()
    models = [load(save(tensors, tmp_path / name)) for name in ("a.pth", "b.safetensors")]
    one, other = (feed(model, [TOKENS]) for model in models)
    assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_formats_agree_with_float32_within_their_rounding(tmp_path: Path, dtype: str) -> None:
    path = save(random_rwkv7(), tmp_path / "model.pth", torch.bfloat16)
    full, half = (feed(loader.load(path, select("cpu"), d), [TOKENS]) for d in ("float32", dtype))
    kl = torch.nn.functional.kl_div(half.log_softmax(-1), full.softmax(-1), reduction="sum")
    assert kl < 0.02


def test_the_state_is_float32_in_every_format(tmp_path: Path) -> None:
    path = save(random_rwkv7(), tmp_path / "model.pth", torch.bfloat16)
    state = loader.load(path, select("cpu"), "bf16").new_state(2)
    assert (state.wkv.dtype, state.att_shift.dtype) == (torch.float32, torch.bfloat16)

"""Every generation against the reference author's implementation."""

from pathlib import Path

import pytest
import torch

from models import loader
from models.backends import select
from models.base import Model
from tests.checkpoints import Sizes, random_rwkv, save
from tests.models import reference

GENERATIONS = ("4", "5.0", "5.1", "5.2", "6", "7")
TOKENS = torch.randint(1, 320, (150,), generator=torch.Generator().manual_seed(7)).tolist()
TOLERANCE = 2e-4


CASES = {
    **{generation: (generation, Sizes()) for generation in GENERATIONS},
    **{f"{g}, small k and v": (g, Sizes(kv_scale=0.15)) for g in GENERATIONS},
    "5.0, time_first": ("5.0", Sizes(bonus="time_first")),
    "5.1, time_first": ("5.1", Sizes(bonus="time_first")),
    "5.2, small heads": ("5.2", Sizes(head_size=32)),
    "6, small heads": ("6", Sizes(head_size=32)),
    "6, one wide head": ("6", Sizes(head_size=128)),
    "6, odd ranks": ("6", Sizes(ranks=(24, 20, 0, 0))),
    "7, no v0 in layer 0": ("7", Sizes(first_layer_residual=False)),
    "7, small heads": ("7", Sizes(head_size=32)),
    "7, one wide head": ("7", Sizes(head_size=128)),
    "7, odd ranks": ("7", Sizes(ranks=(24, 40, 8, 56))),
}


def load(path: Path, dtype: str = "float32") -> Model:
    return loader.load(path, select("cpu", threads=1), dtype)


Answers = dict[str, tuple[Path, reference.Answer]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Each case's checkpoint, and what the reference computes for it."""
    found: Answers = {}
    for seven in (False, True):
        folder = tmp_path_factory.mktemp("checkpoints")
        names = [name for name in CASES if name.startswith("7") == seven]
        files = [folder / f"{i}.pth" for i in range(len(names))]
        for name, file in zip(names, files, strict=True):
            save(random_rwkv(*CASES[name]), file)
        computed = reference.ask(files, TOKENS, greedy=32, seven=seven)
        found |= dict(zip(names, zip(files, computed, strict=True), strict=True))
    return found


@pytest.fixture(params=CASES, scope="module")
def pair(request: pytest.FixtureRequest, answers: Answers) -> tuple[Model, reference.Answer]:
    path, answer = answers[request.param]
    return load(path), answer


def feed(model: Model, parts: list[list[int]]) -> torch.Tensor:
    """Logits after the last of `parts`, fed one after the other to one sequence."""
    state = model.new_state(1)
    for part in parts:
        logits = model.forward(torch.tensor(part), [len(part)], state)
    return logits[0]


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return bool((ours - theirs).abs().max() < TOLERANCE)


def test_the_generation_is_the_one_the_checkpoint_was_made_as(answers: Answers) -> None:
    found = {name: load(path).spec.generation for name, (path, _) in answers.items()}
    assert found == {name: generation for name, (generation, _) in CASES.items()}


def test_stepping_matches_the_reference(pair) -> None:
    model, answer = pair
    state = model.new_state(1)
    ours = torch.cat([model.forward(torch.tensor([t]), [1], state) for t in TOKENS])
    assert close(ours[1:], answer.logits[1:])
    assert (ours[0] - answer.logits[0]).abs().max() < 2e-3  # rounding alone can move token 0


def test_the_logits_after_every_token_match_the_reference(pair) -> None:
    model, answer = pair
    ours = model.forward(torch.tensor(TOKENS), [len(TOKENS)], model.new_state(1), every=True)
    assert close(ours[1:], answer.logits[1:])


def test_of_every_token_the_last_is_what_a_forward_gives_alone(pair) -> None:
    model, _ = pair
    lengths = [1, 7, 40]
    tokens = torch.tensor(TOKENS[: sum(lengths)])
    last = model.forward(tokens, lengths, model.new_state(3))
    every = model.forward(tokens, lengths, model.new_state(3), every=True)
    assert close(every[[0, 7, 47]], last)


@pytest.mark.parametrize("length", [2, 31, 32, 33, 150])
def test_prefill_in_one_forward_matches_the_reference(pair, length: int) -> None:
    model, answer = pair
    assert close(feed(model, [TOKENS[:length]]), answer.logits[length - 1])


@pytest.mark.parametrize("size", [2, 31, 32, 33, 64])
def test_prefill_in_pieces_matches_the_reference(pair, size: int) -> None:
    model, answer = pair
    pieces = [TOKENS[i : i + size] for i in range(0, len(TOKENS), size)]
    assert close(feed(model, pieces), answer.logits[-1])


def test_every_sequence_of_a_ragged_batch_matches_the_reference(pair) -> None:
    model, answer = pair
    fed, lengths = [5, 40, 1, 0, 80, 33], [1, 1, 17, 60, 1, 100]
    state = model.new_state(len(fed))
    for row, count in enumerate(fed):
        if count:
            single = model.new_state(1)
            model.forward(torch.tensor(TOKENS[:count]), [count], single)
            state.write_row(row, single)
    tokens = [t for n, m in zip(fed, lengths, strict=True) for t in TOKENS[n : n + m]]
    logits = model.forward(torch.tensor(tokens), lengths, state)
    expected = answer.logits[[n + m - 1 for n, m in zip(fed, lengths, strict=True)]]
    assert close(logits, expected)


def test_a_greedy_continuation_is_the_references(pair) -> None:
    model, answer = pair
    state, fed, chosen = model.new_state(1), TOKENS, []
    while len(chosen) < len(answer.greedy):
        logits = model.forward(torch.tensor(fed), [len(fed)], state)
        fed = [int(logits.argmax())]
        chosen += fed
    assert chosen == answer.greedy


@pytest.mark.parametrize("generation", GENERATIONS)
def test_safetensors_and_pth_give_equal_logits(tmp_path: Path, generation: str) -> None:
    tensors = random_rwkv(generation)
    models = [load(save(tensors, tmp_path / name)) for name in ("a.pth", "b.safetensors")]
    one, other = (feed(model, [TOKENS]) for model in models)
    assert torch.equal(one, other)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_bf16_file_computes_what_its_values_compute(tmp_path: Path, generation: str) -> None:
    rounded = {name: t.bfloat16() for name, t in random_rwkv(generation).items()}
    narrow, wide = tmp_path / "narrow.pth", tmp_path / "wide.pth"
    models = load(save(rounded, narrow, torch.bfloat16)), load(save(rounded, wide))
    one, other = (feed(model, [TOKENS]) for model in models)
    assert torch.equal(one, other)


def divergence(half: torch.Tensor, full: torch.Tensor) -> float:
    kl = torch.nn.functional.kl_div(half.log_softmax(-1), full.softmax(-1), reduction="sum")
    return float(kl)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_formats_agree_with_float32_within_their_rounding(
    tmp_path: Path, generation: str, dtype: str
) -> None:
    tensors = random_rwkv(generation, Sizes(layers=8))
    path = save(tensors, tmp_path / "model.pth", torch.bfloat16)
    for parts in ([TOKENS], [[token] for token in TOKENS[:30]]):
        full, half = (feed(load(path, name), parts) for name in ("float32", dtype))
        assert divergence(half, full) < 0.02


@pytest.mark.parametrize("generation", ["4", "5.0", "5.1", "5.2", "6"])
def test_fp16_holds_deep_layers_that_outgrow_its_range(tmp_path: Path, generation: str) -> None:
    tensors = random_rwkv(generation, Sizes(layers=13))
    for part in ("weight", "bias"):
        tensors[f"blocks.0.ln0.{part}"] *= 2800
    for i in range(13):  # what flows between the blocks has values above 65504 after layer 6
        for name in ("att.output.weight", "ffn.value.weight"):
            tensors[f"blocks.{i}.{name}"] *= 2800 if i < 6 else 9000
    path = save(tensors, tmp_path / "model.pth", torch.bfloat16)
    full, half = (feed(load(path, name), [TOKENS]) for name in ("float32", "fp16"))
    assert divergence(half, full) < 0.02


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_wkv_state_is_float32_in_every_format(tmp_path: Path, generation: str) -> None:
    path = save(random_rwkv(generation), tmp_path / "model.pth", torch.bfloat16)
    state = load(path, "bf16").new_state(2)
    # The native library keeps token shifts in float32 too.
    assert (state.wkv.dtype, state.att_shift.dtype) == (torch.float32, torch.float32)

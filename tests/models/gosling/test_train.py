"""Training the bundled model: its data, its schedule, resuming, and what it exports."""

import random
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer

from models import loader
from models.backends import select
from models.gosling.batches import Batches, encode
from models.gosling.checkpoint import Progress, begin, checkpoints, export, load_checkpoint
from models.gosling.initial import initialise
from models.gosling.loop import Loop, Setting
from models.gosling.network import Network, Sizes
from models.gosling.optimizer import Optimizer, Rates, orthogonal
from models.gosling.render import Segment
from models.gosling.schedule import Schedule
from models.gosling.tokenizer import END, train_tokenizer

SIZES = Sizes(vocabulary=300, width=64, layers=2, head_size=32, rank=8, gate_rank=8)
LENGTH = 96
STEPS = 6


def talk(rng: random.Random) -> list[Segment]:
    name = "".join(rng.choices("abcdefgh", k=5))
    return [
        Segment(f"User: I am {name}.", 0.1),
        Segment("\n\nAssistant:", 0.1),
        Segment(f" Hello {name}!", 1.0),
        Segment("\n\nUser: Who am I?", 0.1),
        Segment("\n\nAssistant:", 0.1),
        Segment(f" You are {name}.", 1.0),
    ]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    rng = random.Random(1)
    return train_tokenizer((s.text for _ in range(50) for s in talk(rng)), SIZES.vocabulary)


def batches(tokenizer: Tokenizer, rows: int = 2) -> Batches:
    return Batches(talk, tokenizer, rows, LENGTH, seed=1, rank=0)


def network(seed: int = 1) -> Network:
    made = Network(SIZES)
    initialise(made, seed)
    return made


def lively(seed: int = 1) -> Network:
    """No matrix is zero, as it is after some training."""
    made = network(seed)
    generator = torch.Generator().manual_seed(seed)
    for p in made.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=generator)
    return made


def loop(out: Path, tokenizer: Tokenizer, steps: int, resume: bool = False) -> Loop:
    model = network()
    optimizer = Optimizer(model, Rates())
    progress = Progress()
    if resume:
        checkpoint = load_checkpoint(checkpoints(out)[-1])
        optimizer.load(checkpoint.tensors)
        progress = checkpoint.progress
    schedule = Schedule("tokens", steps * 2 * LENGTH, 0.0)
    setting = Setting(out, seed=1, compiled=False)
    return Loop(setting, model, optimizer, batches(tokenizer), schedule, progress, None)


def weights(out: Path) -> torch.Tensor:
    return load_checkpoint(checkpoints(out)[-1]).tensors["weights"]


def test_a_resumed_run_continues_bit_for_bit(tokenizer: Tokenizer, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for folder in (whole, halves):
        folder.mkdir()
    loop(whole, tokenizer, STEPS).run()
    loop(halves, tokenizer, STEPS // 2).run()
    loop(halves, tokenizer, STEPS, resume=True).run()
    assert torch.equal(weights(halves), weights(whole))


def test_a_stopped_run_leaves_a_checkpoint_and_no_model(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    stopped = loop(tmp_path, tokenizer, STEPS)
    stopped.stop = True
    assert not stopped.run()
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000001.ckpt"]
    assert not (tmp_path / "model.safetensors").exists()


def test_only_the_last_two_checkpoints_stay(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for steps in (1, 2, 3):
        loop(tmp_path, tokenizer, steps, resume=steps > 1).run()
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000002.ckpt", "step-00000003.ckpt"]


def test_training_lowers_the_loss(tokenizer: Tokenizer) -> None:
    model = network()
    optimizer = Optimizer(model, Rates())
    batch = batches(tokenizer).batch(0)
    inputs = (batch.tokens, batch.keep, batch.targets, batch.weight)
    losses = []
    for step in range(12):
        loss = model.loss(*inputs)
        loss.backward()
        optimizer.step(step + 1, 1.0)
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_exported_model_is_bf16_under_official_names(tmp_path: Path) -> None:
    export(network(), Progress(tokens=7), tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert file.metadata()["tokens_seen"] == "7"
    assert {x.dtype for x in tensors.values()} == {torch.bfloat16}
    att = {name.removeprefix("blocks.1.att.") for name in tensors if "blocks.1.att." in name}
    mixes = {f"x_{letter}" for letter in "rwkvag"}
    low_ranks = {"w0", "w1", "w2", "a0", "a1", "a2", "v0", "v1", "v2", "g1", "g2"}
    matrices = {f"{name}.weight" for name in ("receptance", "key", "value", "output")}
    assert att == mixes | low_ranks | matrices | {"k_k", "k_a", "r_k", "ln_x.weight", "ln_x.bias"}
    rest = {name for name in tensors if ".att." not in name and not name.startswith("blocks.1.")}
    layer = {f"blocks.0.{n}.{p}" for n in ("ln0", "ln1", "ln2") for p in ("weight", "bias")}
    layer |= {"blocks.0.ffn.x_k", "blocks.0.ffn.key.weight", "blocks.0.ffn.value.weight"}
    assert rest == layer | {"emb.weight", "head.weight", "ln_out.weight", "ln_out.bias"}


def test_the_exported_model_computes_what_was_trained(tmp_path: Path) -> None:
    trained = lively()
    export(trained, Progress(), tmp_path / "model.safetensors")
    served = loader.load(tmp_path / "model.safetensors", select("cpu"), "float32")
    tokens = torch.randint(1, 300, (40,), generator=torch.Generator().manual_seed(3))
    keep = torch.ones(1, 40)
    keep[:, 0] = 0
    ours = trained(tokens.unsqueeze(0), keep)[0, -1]
    theirs = served.forward(tokens, [40], served.new_state(1))[0]
    assert (ours - theirs).abs().max() < 0.02 * theirs.abs().max()  # bf16 products


def test_a_run_can_begin_with_an_exported_model(tmp_path: Path) -> None:
    trained, other = lively(), network(seed=2)
    export(trained, Progress(), tmp_path / "model.safetensors")
    begin(other, tmp_path / "model.safetensors")
    rounded = {name: p.bfloat16().float() for name, p in trained.named_parameters()}
    assert all(torch.equal(p, rounded[name]) for name, p in other.named_parameters())


def test_a_packed_document_is_computed_as_if_alone() -> None:
    model = lively()
    tokens = torch.randint(1, 300, (1, 30), generator=torch.Generator().manual_seed(3))
    tokens[0, 9] = END
    keep = torch.ones(1, 30)
    keep[0, 0] = keep[0, 10] = 0
    packed = model(tokens, keep)[0, 10:]
    alone = model(tokens[:, 10:], keep[:, 10:])[0]
    torch.testing.assert_close(packed, alone, atol=1e-2, rtol=1e-2)


def test_documents_start_afresh_exactly_after_the_end_id(tokenizer: Tokenizer) -> None:
    batch = batches(tokenizer, rows=3).batch(0)
    starts = torch.ones_like(batch.keep)
    starts[:, 1:] = (batch.tokens[:, :-1] != END).float()
    starts[:, 0] = 0
    assert torch.equal(batch.keep, starts)
    assert (batch.keep == 0).sum() > batch.keep.shape[0]


def test_a_cut_document_stands_whole_in_the_next_row(tokenizer: Tokenizer) -> None:
    tokens = batches(tokenizer, rows=2).batch(0).tokens.tolist()
    last_start = LENGTH - tokens[0][::-1].index(END)
    cut = tokens[0][last_start:]
    assert cut
    assert tokens[1][: len(cut)] == cut


def test_batches_differ_by_step_and_repeat_by_number(tokenizer: Tokenizer) -> None:
    maker = batches(tokenizer)
    assert torch.equal(maker.batch(3).tokens, batches(tokenizer).batch(3).tokens)
    assert not torch.equal(maker.batch(3).tokens, maker.batch(4).tokens)


def test_the_turn_marker_after_an_answer_has_full_weight(tokenizer: Tokenizer) -> None:
    document = encode(talk(random.Random(1)), tokenizer)
    first = document.tokens.index(tokenizer.encode("\n\nUser: Who").ids[0])
    second = document.tokens.index(document.tokens[first], first + 1)
    assert document.weights[second : second + 4] == [1.0, 1.0, 1.0, 0.1]
    assert document.weights[-1] == 1.0
    assert document.tokens[-1] == END


def test_the_rate_is_constant_then_falls_to_a_fiftieth() -> None:
    schedule = Schedule("seconds", total=100.0, decay=20.0)
    rates = [schedule.multiplier(at, step=1000) for at in (0, 80, 90, 100)]
    assert rates == pytest.approx([1.0, 1.0, 0.51, 0.02])


def test_the_muon_update_has_singular_values_near_one() -> None:
    matrices = torch.randn(3, 64, 16, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.4

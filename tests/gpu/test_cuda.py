"""Models on a GPU against the same checkpoint on the CPU; run by `make gpu-check` only."""

from pathlib import Path

import pytest
import torch

from models import loader
from models.backends import select
from models.base import Model
from server.bench.engine import NeverStops
from server.engine.engine import Engine
from server.engine.messages import Branch, Finished, Sampling, Submit, TokenSampled
from tests.checkpoints import Sizes, random_rwkv, save

TOKENS = torch.randint(1, 320, (150,), generator=torch.Generator().manual_seed(7)).tolist()


@pytest.fixture(scope="module", params=["4", "5.0", "5.1", "5.2", "6", "7"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensors = random_rwkv(request.param, Sizes())
    return save(tensors, tmp_path_factory.mktemp("ckpt") / "model.pth")


@pytest.fixture(autouse=True)
def exact_float32():
    """TF32 would hide differences that are ours."""
    torch.backends.cuda.matmul.allow_tf32 = False


def load(path: Path, device: str, dtype: str = "float32") -> Model:
    return loader.load(path, select(device), dtype)


def feed(model: Model, parts: list[list[int]]) -> torch.Tensor:
    state = model.new_state(1)
    for part in parts:
        logits = model.forward(torch.tensor(part), [len(part)], state)
    return logits[0].cpu()


def test_auto_chooses_the_gpu() -> None:
    assert select("auto").device.type == "cuda"


@pytest.mark.parametrize("size", [1, 16, 17, 150])
def test_logits_on_the_gpu_are_those_of_the_cpu(path: Path, size: int) -> None:
    pieces = [TOKENS[i : i + size] for i in range(0, len(TOKENS), size)]
    cpu, cuda = (feed(load(path, device), pieces) for device in ("cpu", "cuda"))
    assert (cpu - cuda).abs().max() < 5e-4


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_formats_agree_with_float32_within_their_rounding(path: Path, dtype: str) -> None:
    full, half = feed(load(path, "cpu"), [TOKENS]), feed(load(path, "cuda", dtype), [TOKENS])
    kl = torch.nn.functional.kl_div(half.log_softmax(-1), full.softmax(-1), reduction="sum")
    assert kl < 0.02


def answer(model: Model, submit: Submit) -> tuple[list[int], Finished]:
    engine = Engine(model, max_slots=4, prefill_chunk=64)
    engine.submit(submit)
    events = []
    while not engine.idle:
        events += engine.step()
    (end,) = (e for e in events if isinstance(e, Finished))
    return [e.token for e in events if isinstance(e, TokenSampled)], end


def test_a_resumed_answer_is_the_uninterrupted_one(path: Path) -> None:
    model = load(path, "cuda")
    branch = (Branch(Sampling(temperature=0), NeverStops()),)
    whole, _ = answer(model, Submit("a", None, (tuple(TOKENS),), branch, 12, frozenset()))
    head, end = answer(model, Submit("b", None, (tuple(TOKENS),), branch, 5, frozenset()))
    tail, _ = answer(model, Submit("c", end.snapshot, (), branch, 7, frozenset()))
    assert head + tail == whole

"""Steps on the host ask nothing of torch: whenever it acts, others take the interpreter."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models import loader
from models.backends import select
from models.base import Model, step_of
from server.engine.engine import Engine
from server.engine.messages import Branch, Sampling, Submit, TokenSampled
from tests.checkpoints import Sizes, random_rwkv, save
from tests.doubles import CountingModel, SilentWatcher

SIZES = Sizes(layers=2, width=64, head_size=32, ffn_width=96, vocab_size=160)
STREAMS = 5


class Asked(TorchDispatchMode):
    """What torch was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.operators.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def model(tmp_path: Path, native_library: None) -> Model:
    save(random_rwkv("7", SIZES), tmp_path / "model.pth")
    return loader.load(tmp_path / "model.pth", select("cpu", threads=1), "bf16")


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(top_p=0.9)])
def test_a_step_of_many_answers_asks_nothing_of_torch(model: Model, sampling: Sampling) -> None:
    engine = Engine(model, max_slots=STREAMS, prefill_chunk=64)
    for number in range(STREAMS):
        branch = Branch(sampling, SilentWatcher())
        engine.submit(Submit(str(number), None, ((1, 2, 3),), (branch,), 100, frozenset()))
    while sum(isinstance(it, TokenSampled) for it in engine.step()) < STREAMS:
        pass
    with Asked() as asked:
        events = engine.step()
    assert [type(it) for it in events] == [TokenSampled] * STREAMS
    assert asked.operators == []


def test_a_model_without_a_way_of_its_own_is_stepped_by_its_forward() -> None:
    one, other = CountingModel(), CountingModel()
    states = one.new_state(2), other.new_state(2)
    logits = step_of(one)([1, 2, 3], [1, 2], states[0])
    expected = other.forward(torch.tensor([1, 2, 3]), [1, 2], states[1])
    assert torch.equal(torch.from_numpy(logits), expected)

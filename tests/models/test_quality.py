"""Number formats compared on text, with plain torch as the oracle."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from models import loader, quality, random_weights
from models.backends import select
from models.base import Model
from models.native.model import NativeModel
from models.random_weights import Size
from tests.checkpoints import random_rwkv7, save

TEXTS = [
    torch.randint(1, 320, (length,), generator=torch.Generator().manual_seed(length)).tolist()
    for length in (70, 1, 33)
]

SMALL = {
    "4": Size("4", 4, 256),
    "5.2": Size("5.2", 4, 256),
    "6": Size("6", 4, 256, (32, 64)),
    "7": Size("7", 4, 256, (64, 64, 32, 128)),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(random_rwkv7(), tmp_path_factory.mktemp("quality") / "model.pth")


def load(path: Path, dtype: str) -> Model:
    return loader.load(path, select("cpu", 1), dtype)


def one_by_one(model: Model, text: list[int]) -> torch.Tensor:
    """Logits [T,V] after every token but the last, fed singly."""
    state = model.new_state(1)
    rows = [model.forward(torch.tensor([token]), [1], state) for token in text[:-1]]
    return torch.cat(rows).double()


def test_float32_against_itself_differs_in_nothing(path: Path) -> None:
    model = load(path, "float32")
    found = quality.compare(model, model, TEXTS)
    assert (found.kl, found.agreement, found.tokens) == (0.0, 1.0, 69 + 32)


def test_bf16_differs_a_little_from_float32(path: Path) -> None:
    found = quality.compare(load(path, "bf16"), load(path, "float32"), TEXTS)
    assert 0 < found.kl < 0.02
    assert 0.8 < found.agreement <= 1


@pytest.mark.parametrize(("dtype", "most"), [("bf16", 0.002), ("int8", 0.01)])
@pytest.mark.parametrize("generation", ["4", "5.2", "6", "7"])
def test_random_weights_in_the_library_stay_near_float32(
    generation: str, dtype: str, most: float, tmp_path: Path
) -> None:
    path = random_weights.write(SMALL[generation], tmp_path / "small.safetensors")
    model = load(path, dtype)
    assert isinstance(model, NativeModel)
    assert 0 < quality.compare(model, load(path, "float32"), TEXTS).kl < most


def test_figures_are_those_of_plain_torch(path: Path) -> None:
    model, reference, text = load(path, "bf16"), load(path, "float32"), TEXTS[0]
    found = quality.compare(model, reference, [text])
    given, wanted = one_by_one(model, text), one_by_one(reference, text)
    loss = F.cross_entropy(given, torch.tensor(text[1:]))
    divergence = F.kl_div(
        given.log_softmax(-1), wanted.log_softmax(-1), reduction="batchmean", log_target=True
    )
    assert found.perplexity == pytest.approx(loss.exp().item(), rel=5e-3)
    assert found.kl == pytest.approx(divergence.item(), rel=0.25)


def test_chunks_change_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(path, "float32")
    whole = quality.compare(model, model, TEXTS)
    monkeypatch.setattr(quality, "CHUNK", 16)
    pieces = quality.compare(model, model, TEXTS)
    assert pieces.tokens == whole.tokens
    assert pieces.perplexity == pytest.approx(whole.perplexity, rel=1e-4)


def test_progress_counts_every_prediction(path: Path) -> None:
    model = load(path, "float32")
    seen: list[tuple[int, int]] = []
    quality.compare(model, model, TEXTS, lambda done, total: seen.append((done, total)))
    assert seen == [(69, 101), (101, 101)]

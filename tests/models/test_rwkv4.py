"""RWKV-4 against a second implementation, that of transformers."""

import re
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import loader
from models.backends import select
from tests.checkpoints import Sizes, random_rwkv4, save

SIZES = Sizes()
TOKENS = torch.randint(1, 320, (80,), generator=torch.Generator().manual_seed(8))
RENAMED = {
    r"^emb\.": "rwkv.embeddings.",
    r"^blocks\.(\d+)\.att\.": r"rwkv.blocks.\1.attention.",
    r"^blocks\.(\d+)\.ffn\.": r"rwkv.blocks.\1.feed_forward.",
    r"^blocks\.0\.ln0\.": "rwkv.blocks.0.pre_ln.",
    r"^blocks\.(\d+)\.ln": r"rwkv.blocks.\1.ln",
    r"^ln_out\.": "rwkv.ln_out.",
    r"time_mix_k$": "time_mix_key",
    r"time_mix_v$": "time_mix_value",
    r"time_mix_r$": "time_mix_receptance",
}


def transformers_name(name: str) -> str:
    for pattern, replacement in RENAMED.items():
        name = re.sub(pattern, replacement, name)
    return name


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_rwkv4(SIZES)


@pytest.fixture(scope="module")
def expected(tensors: dict[str, Tensor]) -> Tensor:
    """Logits [T,V] by transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other projects' deprecations
        from transformers import RwkvConfig, RwkvForCausalLM

        config = RwkvConfig(
            vocab_size=SIZES.vocab_size,
            hidden_size=SIZES.width,
            intermediate_size=SIZES.ffn_width,
            num_hidden_layers=SIZES.layers,
            rescale_every=0,
        )
        model = RwkvForCausalLM(config).eval()
        model.load_state_dict({transformers_name(name): t for name, t in tensors.items()})
        with torch.no_grad():
            logits: Tensor = model(TOKENS.unsqueeze(0)).logits[0]
    return logits


def test_stepping_matches_transformers(
    tensors: dict[str, Tensor], expected: Tensor, tmp_path: Path
) -> None:
    model = loader.load(save(tensors, tmp_path / "model.pth"), select("cpu", 1), "float32")
    state = model.new_state(1)
    ours = torch.cat([model.forward(token.view(1), [1], state) for token in TOKENS])
    assert (ours - expected).abs().max() < 2e-4


@pytest.mark.parametrize("length", [2, 32, 33, 80])
def test_prefill_matches_transformers(
    tensors: dict[str, Tensor], expected: Tensor, tmp_path: Path, length: int
) -> None:
    model = loader.load(save(tensors, tmp_path / "model.pth"), select("cpu", 1), "float32")
    logits = model.forward(TOKENS[:length], [length], model.new_state(1))[0]
    assert (logits - expected[length - 1]).abs().max() < 2e-4

"""Adapters as their training writes them, made of random numbers, and what is said of them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import loader
from models.adapters import AdapterError
from models.backends import Backend
from models.base import Model
from tests.checkpoints import Sizes

TINY = Sizes(layers=2, width=32, head_size=16, ffn_width=56, vocab_size=40, ranks=(8, 8, 4, 8))
CPU = Backend(torch.device("cpu"), torch.bfloat16, "for tests")
TOKENS = torch.randint(1, 40, (20,), generator=torch.Generator().manual_seed(3))

Tensors = dict[str, Tensor]


def load(path: Path, dtype: str = "float32") -> Model:
    return loader.load(path, CPU, dtype)


def logits(model: Model) -> Tensor:
    return model.forward(TOKENS, [len(TOKENS)], model.new_state(1))


def refusal(call: object) -> str:
    """The one sentence with which `call`, a function without arguments, refuses an adapter."""
    assert callable(call)
    with pytest.raises(AdapterError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def matrices(tensors: Tensors) -> dict[str, Tensor]:
    """What is adapted in training: the linear layers of the blocks, by their prefixes."""
    return {
        name.removesuffix(".weight"): tensor
        for name, tensor in tensors.items()
        if name.startswith("blocks.") and name.endswith(".weight") and tensor.dim() == 2
    }


def random(*shape: int, seed: int = 0, scale: float = 0.1) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator) * scale


def low_ranks(tensors: Tensors, rank: int = 4, kind: str = "", seed: int = 0) -> Tensors:
    """kind: "init_" for the file that PiSSA begins with."""
    found = {}
    for i, (prefix, weight) in enumerate(matrices(tensors).items()):
        out, width = weight.shape
        found[f"{prefix}.{kind}lora_A"] = random(rank, width, seed=seed + i)
        found[f"{prefix}.{kind}lora_B"] = random(out, rank, seed=seed - i)
    return found


def time_states(sizes: Sizes = TINY, scale: float = 1.0, seed: int = 5) -> Tensors:
    shape = (sizes.heads, sizes.head_size, sizes.head_size)
    return {
        f"blocks.{i}.att.time_state": random(*shape, seed=seed + i, scale=scale)
        for i in range(sizes.layers)
    }

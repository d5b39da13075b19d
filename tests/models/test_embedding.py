"""The vector of a state: its inner products are those of states, and it never changes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from models import loader
from models.backends import select
from models.base import State
from models.embedding import DIMENSIONS, embedding
from tests.checkpoints import Sizes, random_rwkv, save


def state(wkv: torch.Tensor) -> State:
    return State(torch.zeros(0), wkv, torch.zeros(0))


def random_wkv(seed: int, heads: int = 8) -> torch.Tensor:
    return torch.randn(2, 1, heads, 32, 32, generator=torch.Generator().manual_seed(seed))


def by_hand(wkv: torch.Tensor) -> np.ndarray:
    """Entry by entry, with the bits one by one."""
    heads = wkv[:, 0].flatten(2).double().numpy()
    heads = heads / np.linalg.norm(heads, axis=-1, keepdims=True)
    bits = hashlib.shake_256(b"rwkv-server embedding 1").digest(heads.size // 8)
    sums = np.zeros(1024)
    for place, entry in enumerate(heads.ravel()):
        bit = bits[place // 8] >> (7 - place % 8) & 1
        sums[place % 1024] += entry if bit else -entry
    return sums / np.linalg.norm(sums)


def test_a_vector_is_the_signed_sums_of_normalised_heads() -> None:
    wkv = random_wkv(1)
    assert np.abs(embedding(state(wkv)).numpy() - by_hand(wkv)).max() < 1e-6


def test_states_are_as_alike_as_their_vectors() -> None:
    one, other = random_wkv(1), random_wkv(2)
    for share in (0.0, 0.3, 0.6, 0.9):
        near = share * one + (1 - share**2) ** 0.5 * other
        exact = torch.cosine_similarity(one.flatten(), near.flatten(), dim=0)
        assert abs(float(embedding(state(one)) @ embedding(state(near)) - exact)) < 0.1


def test_a_head_with_large_numbers_counts_no_more_than_the_others() -> None:
    wkv = random_wkv(3)
    louder = wkv.clone()
    louder[:, :, 2] *= 1000
    assert torch.allclose(embedding(state(wkv)), embedding(state(louder)), atol=1e-6)


def test_an_empty_head_adds_nothing() -> None:
    wkv = random_wkv(4)
    wkv[:, :, 2] = 0
    assert embedding(state(wkv)).isfinite().all()


def test_sizes_that_do_not_divide_are_filled_up() -> None:
    assert embedding(state(torch.ones(1, 1, 1, 5, 5))).norm() == pytest.approx(1)


@pytest.mark.parametrize("generation", ["4", "5.0", "5.1", "5.2", "6", "7"])
def test_every_generation_has_vectors_of_length_one(generation: str, tmp_path: Path) -> None:
    sizes = Sizes(layers=2, width=64, head_size=32, ffn_width=96, vocab_size=160)
    path = save(random_rwkv(generation, sizes), tmp_path / "model.pth")
    model = loader.load(path, select("cpu", threads=1), "float32")
    vectors = []
    for tokens in ([3, 4, 5, 6], [3, 4, 5, 7], [100, 90, 80, 70]):
        own = model.new_state(1)
        model.forward(torch.tensor(tokens), [len(tokens)], own)
        vectors.append(embedding(own))
    first, near, far = vectors
    assert first.shape == (DIMENSIONS,)
    assert first.norm() == pytest.approx(1, abs=1e-5)
    assert first @ near > first @ far

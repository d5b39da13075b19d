"""Random weights in official sizes; the large ones are counted, never made."""

from math import prod
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models import loader, random_weights
from models.backends import select
from models.base import CheckpointError
from models.random_weights import SIZES, Size

LITTLE = {
    "4": Size("4", layers=2, width=128),
    "5.2": Size("5.2", layers=2, width=128),
    "6": Size("6", layers=2, width=128, ranks=(32, 64)),
    "7": Size("7", layers=2, width=128, ranks=(32, 32, 16, 32)),
}
every_generation = pytest.mark.parametrize("generation", LITTLE)
# Published with the World checkpoints of the same sizes; that of 7.2B is its name.
PUBLISHED = {
    "0.1b": 191_034_624,
    "0.4b": 450_767_872,
    "1.5b": 1_527_404_544,
    "2.9b": 2_947_735_040,
}
# Vectors of a layer, C values each, by the papers: D(11L + 4), 14DL + 4D and 464DL + 4D, each with
# 13D²L + 2DV (arXiv 2305.13048 and 2404.05892); the last one is of widths below 4096.
VECTORS = {"rwkv4": 11, "rwkv5": 14, "rwkv6": 464}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_size_has_the_published_number_of_parameters(name: str) -> None:
    assert random_weights.parameters(SIZES[name]) == PUBLISHED[name]


def test_the_largest_size_has_the_parameters_of_its_name() -> None:
    assert random_weights.parameters(SIZES["7.2b"]) == pytest.approx(7.2e9, rel=0.02)


@pytest.mark.parametrize("size", ["0.1b", "0.4b", "1.5b", "2.9b"])
@pytest.mark.parametrize("name", VECTORS)
def test_a_size_of_another_generation_has_as_many_as_its_paper_says(name: str, size: str) -> None:
    found = SIZES[f"{name}-{size}"]
    layers, width = found.layers, found.width
    vectors = (VECTORS[name] * layers + 4) * width
    expected = 13 * width**2 * layers + 2 * width * random_weights.VOCAB_SIZE + vectors
    assert random_weights.parameters(found) == expected


def test_a_size_without_a_generation_is_of_rwkv_7() -> None:
    assert all(SIZES[name] == SIZES[f"rwkv7-{name}"] for name in PUBLISHED)


@every_generation
def test_a_written_checkpoint_is_loaded_with_all_its_parameters(
    generation: str, tmp_path: Path
) -> None:
    little = LITTLE[generation]
    path = random_weights.write(little, tmp_path / "little.safetensors")
    spec = loader.load(path, select("cpu", 1)).spec
    assert (spec.generation, spec.layers, spec.width) == (generation, 2, 128)
    assert spec.parameters == sum(map(prod, random_weights.shapes(little).values()))


@every_generation
def test_what_was_fed_long_ago_still_moves_the_logits(generation: str, tmp_path: Path) -> None:
    path = random_weights.write(LITTLE[generation], tmp_path / "little.safetensors")
    model = loader.load(path, select("cpu", 1), "float32")
    rows = [model.forward(torch.arange(start, 200), [200 - start], model.new_state(1))
            for start in (1, 2)]  # fmt: skip
    assert rows[0].isfinite().all()
    assert rows[0].std() > 0.1
    assert not torch.equal(rows[0], rows[1])


def test_shares_and_decays_of_rwkv_6_stay_near_their_base(tmp_path: Path) -> None:
    tensors = load_file(random_weights.write(LITTLE["6"], tmp_path / "little.safetensors"))
    for name in ("time_maa_w2", "time_decay_w2"):
        assert 0 < tensors[f"blocks.1.att.{name}"].abs().max() <= 0.01


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        random_weights.write(LITTLE["7"], tmp_path / "nowhere" / "little.safetensors")


def test_the_same_seed_makes_the_same_file(tmp_path: Path) -> None:
    files = [random_weights.write(LITTLE["6"], tmp_path / name) for name in ("a", "b")]
    one, other = (file.read_bytes() for file in files)
    assert one == other

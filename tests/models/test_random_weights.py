"""Random weights in official sizes; the large ones are counted, never made."""

from math import prod
from pathlib import Path

import pytest
import torch

from models import loader, random_weights
from models.backends import select
from models.base import CheckpointError
from models.random_weights import SIZES, Size

LITTLE = Size(layers=2, width=128, ranks=(32, 32, 16, 32))
# Published with the World checkpoints of the same sizes; that of 7.2B is its name.
PUBLISHED = {
    "0.1b": 191_034_624,
    "0.4b": 450_767_872,
    "1.5b": 1_527_404_544,
    "2.9b": 2_947_735_040,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_size_has_the_published_number_of_parameters(name: str) -> None:
    assert random_weights.parameters(SIZES[name]) == PUBLISHED[name]


def test_the_largest_size_has_the_parameters_of_its_name() -> None:
    assert random_weights.parameters(SIZES["7.2b"]) == pytest.approx(7.2e9, rel=0.02)


def test_a_written_checkpoint_is_loaded_with_all_its_parameters(tmp_path: Path) -> None:
    path = random_weights.write(LITTLE, tmp_path / "little.safetensors")
    spec = loader.load(path, select("cpu", 1)).spec
    assert (spec.generation, spec.layers, spec.width) == ("7", 2, 128)
    assert spec.parameters == sum(map(prod, random_weights.shapes(LITTLE).values()))


def test_what_was_fed_long_ago_still_moves_the_logits(tmp_path: Path) -> None:
    path = random_weights.write(LITTLE, tmp_path / "little.safetensors")
    model = loader.load(path, select("cpu", 1), "float32")
    rows = [model.forward(torch.arange(start, 200), [200 - start], model.new_state(1))
            for start in (1, 2)]  # fmt: skip
    assert rows[0].isfinite().all()
    assert rows[0].std() > 0.1
    assert not torch.equal(rows[0], rows[1])


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        random_weights.write(LITTLE, tmp_path / "nowhere" / "little.safetensors")


def test_the_same_seed_makes_the_same_file(tmp_path: Path) -> None:
    one, other = (random_weights.write(LITTLE, tmp_path / name).read_bytes() for name in ("a", "b"))
    assert one == other

"""The bundled model itself: what is shipped, and that it can do what its card says."""

import json

import pytest
import torch
from safetensors.torch import load_file

from models import gosling
from models.gosling.dialogues import Split
from models.gosling.evaluate import measure, unseen
from models.gosling.greedy import Greedy

WEIGHTS = gosling.PATH / "model.safetensors"
# Percent right of answers on unseen values, a few points below the model card's table.
FLOORS = {
    "facts": 95,
    "arithmetic": 95,
    "counting": 95,
    "lists": 90,
    "words": 92,
    "tools": 90,
    "beyond": 90,
}
# The same in phrasings that training never saw.
PHRASING_FLOORS = {"talk": 82, "identity": 90}
CHECKED = 60


@pytest.fixture(scope="module")
def greedy() -> Greedy:
    return Greedy(gosling.PATH, "cpu")


def test_the_weights_are_small_and_bf16() -> None:
    assert WEIGHTS.stat().st_size <= 16 * 10**6
    dtypes = {tensor.dtype for tensor in load_file(WEIGHTS).values()}
    assert dtypes == {torch.bfloat16}


def test_the_vocabulary_is_small() -> None:
    definition = json.loads((gosling.PATH / "tokenizer.json").read_text())
    assert len(definition["model"]["vocab"]) <= 4096


@pytest.mark.parametrize("ability", FLOORS)
def test_it_can_what_its_card_says(greedy: Greedy, ability: str) -> None:
    checks = unseen(Split.HELD_VALUES, ability, CHECKED)
    result = measure(greedy, greedy.encode, checks, ability, "held values")
    assert result.percent >= FLOORS[ability], result.wrong


@pytest.mark.parametrize("ability", PHRASING_FLOORS)
def test_it_knows_what_is_meant_in_other_words(greedy: Greedy, ability: str) -> None:
    checks = unseen(Split.HELD_PHRASES, ability, CHECKED)
    result = measure(greedy, greedy.encode, checks, ability, "held phrasings")
    assert result.percent >= PHRASING_FLOORS[ability]

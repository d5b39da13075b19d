"""The quick measure of a network in training."""

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.gosling.dialogues import Dialogue, Message
from models.gosling.network import Network, Sizes
from models.gosling.probe import Probe
from models.gosling.tokenizer import train_tokenizer

WRONG = "b"


class Oracle(Network):
    """Always predicts the token that comes next, except where that is `wrong`."""

    def __init__(self, vocabulary: int, wrong: int) -> None:
        super().__init__(Sizes(vocabulary, width=32, layers=1, head_size=32))
        self.wrong = wrong

    def forward(self, tokens: Tensor, keep: Tensor) -> Tensor:
        following = torch.roll(tokens, -1, dims=1)
        following[following == self.wrong] = 1
        return torch.nn.functional.one_hot(following, self.sizes.vocabulary).float() * 50


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([], entries=300)


def dialogue(ability: str, *answers: str, checks: tuple[int, ...]) -> Dialogue:
    turns = [m for text in answers for m in (Message("user", WRONG), Message("assistant", text))]
    return Dialogue(tuple(turns), ability, checks)


def test_an_answer_with_one_wrong_token_is_not_exact(tokenizer: Tokenizer) -> None:
    wrong = tokenizer.encode(WRONG).ids[0]
    dialogues = [
        dialogue("lists", "a c", f"a {WRONG} c", checks=(1, 3)),
        dialogue("facts", "c", f"{WRONG}", checks=(1,)),
    ]
    scores = Probe(dialogues, tokenizer).measure(Oracle(300, wrong))
    counted = {name: (score.exact, score.answers) for name, score in scores.items()}
    assert counted == {"facts": (1, 1), "lists": (1, 2)}

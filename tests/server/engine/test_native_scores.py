"""Likelihoods by the native library against those by torch."""

import math

import pytest
import torch

from models.native.scores import score
from server.engine.scores import score_on_torch

pytestmark = pytest.mark.usefixtures("native_library")
NONE = torch.tensor([], dtype=torch.int64)


@pytest.mark.parametrize("vocab", [5, 33, 65_536])
@pytest.mark.parametrize("spread", [0.1, 3.0, 50.0])
def test_native_likelihoods_are_those_of_torch(vocab: int, spread: float) -> None:
    logits = torch.randn(4, vocab, generator=torch.Generator().manual_seed(vocab)) * spread
    forbidden = torch.tensor([0, 3])
    tokens = (1, 2, 4, 0)
    found = score(logits, tokens, 20, forbidden)
    expected = score_on_torch(logits, tokens, 20, forbidden)
    assert found[0] == pytest.approx(expected[0], abs=2e-5, rel=1e-6)
    assert found[1] == expected[1]
    for one, other in zip(found[2], expected[2], strict=True):
        assert one == pytest.approx(other, abs=2e-5, rel=1e-6)


def test_equally_likely_ids_come_in_their_order() -> None:
    found = score(torch.zeros(1, 9), (4,), 3, torch.tensor([1]))
    assert found[1] == [[0, 2, 3]]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_have_no_likelihoods(bad: float) -> None:
    logits = torch.zeros(2, 5)
    logits[1, 2] = bad
    for scored in (score, score_on_torch):
        first, second = scored(logits, (1, 1), 0, NONE)[0]
        assert first == pytest.approx(-math.log(5))
        assert math.isnan(second)
        assert math.isnan(scored(torch.zeros(1, 2), (0,), 0, torch.tensor([0, 1]))[0][0])


def test_the_library_is_never_given_tokens_beyond_the_logits() -> None:
    with pytest.raises(IndexError):
        score(torch.zeros(1, 5), (5,), 0, NONE)
    with pytest.raises(IndexError):
        score(torch.zeros(2, 5), (1,), 0, NONE)

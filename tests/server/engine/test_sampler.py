"""The sampler against probabilities computed plainly in numpy, and against hand computations."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from server.engine.messages import Sampling
from server.engine.sampler import Sampler, forbidden_tensor
from tests.server.engine.choosing import sampled

NONE_FORBIDDEN = forbidden_tensor([])
DRAWS = 10_000


def logits_of(vocab: int, seed: int = 0, spread: float = 2.0) -> Tensor:
    return torch.randn(vocab, generator=torch.Generator().manual_seed(seed)) * spread


def sampler(sampling: Sampling, forbidden: tuple[int, ...] = ()) -> Sampler:
    return Sampler(sampling, forbidden_tensor(forbidden))


def as_dict(sampling: Sampling) -> dict[str, float]:
    return {name: getattr(sampling, name) for name in Sampling.__slots__}


def short(value: object) -> str:
    """A test's name: what is switched on."""
    if not isinstance(value, Sampling):
        return str(value)
    neutral = as_dict(Sampling())
    return " ".join(f"{n} {v}" for n, v in as_dict(value).items() if v != neutral[n]) or "neutral"


def expected(logits: Tensor, sampling: Sampling) -> NDArray[np.float64]:
    """Probability of every id: temperature, then top_k, top_p and min_p, each renormalised."""
    scaled = logits.double().numpy() / sampling.temperature
    p = np.exp(scaled - scaled.max())
    order = np.argsort(-p, kind="stable")
    if sampling.top_k:
        p[order[sampling.top_k :]] = 0
    p /= p.sum()
    keep, mass = set(), 0.0
    for index in order:
        if mass >= sampling.top_p:
            break
        keep.add(int(index))
        mass += p[index]
    largest = p.max()
    for index in range(len(p)):
        if index not in keep or p[index] < sampling.min_p * largest:
            p[index] = 0
    return p / p.sum()


def frequencies(logits: Tensor, sampling: Sampling, draws: int = DRAWS) -> NDArray[np.float64]:
    drawing = sampler(sampling)
    counts = Counter(sampled(drawing, logits) for _ in range(draws))
    return np.array([counts[i] for i in range(len(logits))], dtype=np.float64)


def assert_drawn_from(found: NDArray[np.float64], p: NDArray[np.float64]) -> None:
    """Nothing outside the allowed set, and Pearson's statistic within six deviations."""
    assert found[p == 0].sum() == 0
    often = p * found.sum() >= 5
    rest_found, rest = found[~often].sum(), p[~often].sum() * found.sum()
    terms = (found[often] - p[often] * found.sum()) ** 2 / (p[often] * found.sum())
    statistic = terms.sum() + ((rest_found - rest) ** 2 / rest if rest > 5 else 0)
    freedom = max(int(often.sum()), 1)
    assert statistic < freedom + 6 * (2 * freedom) ** 0.5


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.5),
        Sampling(temperature=1.7),
        Sampling(top_k=5),
        Sampling(top_k=1000),
        Sampling(top_p=0.6),
        Sampling(top_p=0.01),
        Sampling(min_p=0.2),
        Sampling(min_p=1.0),
        Sampling(top_k=10, top_p=0.7),
        Sampling(temperature=1.5, top_k=12, top_p=0.9, min_p=0.1),
        Sampling(temperature=0.7, top_p=0.9, min_p=0.15),
    ],
    ids=short,
)
def test_tokens_are_drawn_with_exactly_their_probabilities(sampling: Sampling) -> None:
    logits = logits_of(40)
    assert_drawn_from(frequencies(logits, sampling), expected(logits, sampling))


@pytest.mark.parametrize(
    "sampling",
    [Sampling(top_p=0.5), Sampling(top_p=0.95), Sampling(min_p=0.02), Sampling(min_p=1e-4)],
    ids=short,
)
@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_a_big_vocabulary_is_drawn_from_as_a_small_one(sampling: Sampling, spread: float) -> None:
    logits = logits_of(2000, 3, spread)
    found = frequencies(logits, sampling, 3000)
    assert_drawn_from(found, expected(logits, sampling))


def allowed(logits: Tensor, sampling: Sampling, draws: int) -> set[int]:
    drawing = sampler(sampling)
    return {sampled(drawing, logits) for _ in range(draws)}


def test_top_p_on_a_flat_vocabulary_keeps_its_share_of_all_ids() -> None:
    found = allowed(torch.zeros(65_536), Sampling(top_p=0.9), 300)
    assert len(found) > 290
    assert all(0 <= token < 65_536 for token in found)


def test_min_p_on_a_flat_vocabulary_keeps_all_of_it() -> None:
    found = allowed(torch.zeros(5000), Sampling(min_p=0.5), 2000)
    assert len(found) > 1500


def test_min_p_cuts_off_all_but_a_small_head() -> None:
    logits = torch.full((65_536,), -20.0)
    logits[[7, 70, 700]] = torch.tensor([0.0, -1.0, -3.0])
    assert allowed(logits, Sampling(min_p=0.1), 300) == {7, 70}


def test_the_likeliest_token_always_remains() -> None:
    logits = logits_of(50)
    best = int(logits.argmax())
    for sampling in (Sampling(top_p=0.0), Sampling(top_p=1e-9), Sampling(min_p=2.0)):
        assert allowed(logits, sampling, 50) == {best}


def test_top_k_one_is_the_likeliest_token() -> None:
    logits = logits_of(50)
    assert allowed(logits, Sampling(top_k=1), 50) == {int(logits.argmax())}


def test_top_k_one_takes_the_first_of_equals() -> None:
    logits = torch.zeros(50)
    logits[[3, 9, 30]] = 5.0
    assert {sampled(sampler(Sampling(top_k=1, seed=i)), logits) for i in range(20)} == {3}


def test_temperature_zero_is_the_likeliest_token_whatever_the_seed() -> None:
    logits = logits_of(50)
    found = {sampled(sampler(Sampling(temperature=0, seed=i)), logits) for i in range(20)}
    assert found == {int(logits.argmax())}


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-44])
@pytest.mark.parametrize("top_k", [0, 10])
def test_a_tiny_temperature_is_the_likeliest_token(temperature: float, top_k: int) -> None:
    logits = logits_of(50) * 100
    sampling = Sampling(temperature=temperature, top_k=top_k)
    assert allowed(logits, sampling, 20) == {int(logits.argmax())}


@pytest.mark.parametrize("temperature", [1e6, 1e30])
def test_a_huge_temperature_makes_all_tokens_alike(temperature: float) -> None:
    logits = logits_of(10)
    found = frequencies(logits, Sampling(temperature=temperature), 5000)
    assert_drawn_from(found, np.full(10, 0.1))


def test_the_logits_are_left_as_they_are() -> None:
    logits = logits_of(30)
    kept = logits.clone()
    sampling = Sampling(presence_penalty=1, repetition_penalty=2, logit_bias=((3, 50.0),), top_k=4)
    drawing = sampler(sampling, (1, 2))
    for _ in range(5):
        sampled(drawing, logits)
    assert torch.equal(logits, kept)


def test_a_seed_gives_the_same_tokens_again() -> None:
    logits, sampling = logits_of(50), Sampling(seed=1234)
    one, other = sampler(sampling), sampler(sampling)
    assert [sampled(one, logits) for _ in range(50)] == [sampled(other, logits) for _ in range(50)]


def test_seeds_give_different_tokens() -> None:
    logits = logits_of(50, spread=0.1)
    runs = []
    for seed in (-2, -1, 0, 1, 2, 2**63 - 1, 2**64):
        drawing = sampler(Sampling(seed=seed))
        runs.append(tuple(sampled(drawing, logits) for _ in range(20)))
    assert len(set(runs)) == len(runs)


def test_other_sequences_do_not_change_what_a_seed_gives() -> None:
    logits, sampling = logits_of(50), Sampling(seed=7)
    alone = sampler(sampling)
    expected_tokens = [sampled(alone, logits) for _ in range(30)]
    between, neighbour = sampler(sampling), sampler(Sampling(seed=8))
    found = []
    for _ in range(30):
        torch.rand(3)
        sampled(neighbour, logits)
        found.append(sampled(between, logits))
    assert found == expected_tokens


def test_one_more_decision_takes_one_random_number() -> None:
    """So a change of top_p in mid-answer does not shift what follows."""
    flat = torch.zeros(1000)
    drawing = sampler(Sampling(seed=3))
    first = sampled(drawing, flat)
    again = sampler(Sampling(seed=3))
    assert first == sampled(again, flat)
    assert sampled(drawing, flat) == sampled(again, flat)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0),
        Sampling(temperature=50.0),
        Sampling(top_k=1),
        Sampling(top_k=20),
        Sampling(top_p=0.99),
        Sampling(min_p=1e-9),
        Sampling(temperature=9.0, logit_bias=((0, 100.0), (3, 100.0))),
    ],
    ids=short,
)
def test_forbidden_ids_are_never_drawn(sampling: Sampling) -> None:
    forbidden = (0, 3, 4, 19)
    logits = logits_of(20)
    logits[[0, 3]] = 100.0
    drawing = sampler(sampling, forbidden)
    assert not {sampled(drawing, logits) for _ in range(300)} & set(forbidden)


def test_a_bias_of_100_makes_a_token_certain() -> None:
    logits = logits_of(50)
    worst = int(logits.argmin())
    assert allowed(logits, Sampling(logit_bias=((worst, 100.0),)), 50) == {worst}


def test_a_bias_of_minus_100_bans_a_token() -> None:
    logits = torch.zeros(5)
    sampling = Sampling(logit_bias=((1, -100.0), (3, -100.0)))
    assert allowed(logits, sampling, 300) == {0, 2, 4}


def test_a_bias_is_added_to_the_logit() -> None:
    logits = logits_of(20)
    sampling = Sampling(logit_bias=((2, 1.5), (7, -0.5)))
    moved = logits.clone()
    moved[2] += 1.5
    moved[7] -= 0.5
    assert_drawn_from(frequencies(logits, sampling), expected(moved, Sampling()))


def greedy_run(logits: Tensor, sampling: Sampling, count: int) -> list[int]:
    drawing = sampler(sampling)
    return [sampled(drawing, logits) for _ in range(count)]


def test_a_presence_penalty_is_subtracted_once_for_every_token_that_was_generated() -> None:
    logits = torch.tensor([3.0, 2.5, 2.2, 0.0])
    sampling = Sampling(temperature=0, presence_penalty=1.0)
    # 0 falls to 2.0, 1 to 1.5, 2 to 1.2; then 0 is ahead for good.
    assert greedy_run(logits, sampling, 6) == [0, 1, 2, 0, 0, 0]


def test_a_frequency_penalty_is_subtracted_for_every_time_a_token_was_generated() -> None:
    logits = torch.tensor([3.0, 2.4, 0.0])
    sampling = Sampling(temperature=0, frequency_penalty=1.0)
    # 3.0|2.4 → 2.0|2.4 → 2.0|1.4 → 1.0|1.4 → 1.0|0.4 → 0.0|0.4
    assert greedy_run(logits, sampling, 6) == [0, 1, 0, 1, 0, 1]


def test_counts_decay_with_every_generated_token() -> None:
    logits = torch.tensor([1.0, 0.0])
    sampling = Sampling(temperature=0, frequency_penalty=1.5, penalty_decay=0.5)
    # Before each draw: 1|0, −0.5|0, 0.25|−1.5, −0.875|−0.75, 0.0625|−1.875, −0.96875|−0.9375
    assert greedy_run(logits, sampling, 6) == [0, 1, 0, 1, 0, 1]
    slower = Sampling(temperature=0, frequency_penalty=1.5, penalty_decay=0.1)
    # 1|0, −0.5|0, 0.85|−1.5, −0.515|−0.15, 0.8485|−1.515
    assert greedy_run(logits, slower, 5) == [0, 1, 0, 1, 0]


def test_a_decay_of_zero_remembers_the_last_token_only() -> None:
    logits = torch.tensor([3.0, 2.0, 1.0])
    sampling = Sampling(temperature=0, frequency_penalty=10, penalty_decay=0)
    assert greedy_run(logits, sampling, 4) == [0, 1, 0, 1]


def test_a_repetition_penalty_makes_seen_tokens_less_likely_whatever_their_sign() -> None:
    positive = Sampling(temperature=0, repetition_penalty=2.0)
    assert greedy_run(torch.tensor([3.0, 2.0, 1.4]), positive, 4) == [0, 1, 0, 0]
    assert greedy_run(torch.tensor([-1.0, -1.5, -1.8]), positive, 4) == [0, 1, 2, 0]


def test_penalties_move_probabilities_by_exactly_their_amount() -> None:
    logits = logits_of(6)
    sampling = Sampling(presence_penalty=0.3, frequency_penalty=0.2, repetition_penalty=1.3)
    first = int(logits.argmax())
    moved = logits.clone()
    moved[first] = (moved[first] / 1.3 if moved[first] > 0 else moved[first] * 1.3) - 0.5
    certain = torch.full((6,), -1e4)
    certain[first] = 0
    counts: Counter[int] = Counter()
    for seed in range(5000):
        drawing = sampler(replace(sampling, seed=seed))
        assert sampled(drawing, certain) == first
        counts[sampled(drawing, logits)] += 1
    assert_drawn_from(np.array([float(counts[i]) for i in range(6)]), expected(moved, Sampling()))


def test_penalties_see_generated_tokens_of_this_sequence_only() -> None:
    logits = torch.tensor([3.0, 2.0])
    sampling = Sampling(temperature=0, presence_penalty=5)
    one, other = sampler(sampling), sampler(sampling)
    sampled(one, logits)
    assert sampled(other, logits) == 0


def test_penalties_come_before_the_temperature() -> None:
    logits = torch.tensor([2.0, 0.0])
    sampling = Sampling(temperature=0.01, presence_penalty=1.9)
    assert greedy_run(logits, sampling, 10) == [0] * 10


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0),
        Sampling(),
        Sampling(top_k=1),
        Sampling(top_k=3),
        Sampling(top_p=0.5),
    ],
    ids=short,
)
def test_logits_that_are_no_numbers_raise(sampling: Sampling, bad: float) -> None:
    logits = logits_of(20)
    logits[5] = bad
    with pytest.raises(ValueError, match="logits"):
        sampled(sampler(sampling), logits)


def test_where_nothing_is_left_nothing_is_drawn() -> None:
    for sampling in (Sampling(), Sampling(temperature=0), Sampling(top_k=2), Sampling(top_p=0.5)):
        assert sampled(sampler(sampling, (0, 1, 2)), torch.zeros(3)) is None


def test_logits_of_minus_infinity_are_never_drawn() -> None:
    logits = torch.zeros(5)
    logits[[1, 3]] = -torch.inf
    for sampling in (Sampling(), Sampling(top_k=4), Sampling(top_p=0.999), Sampling(min_p=0.001)):
        assert allowed(logits, sampling, 200) == {0, 2, 4}

"""The native chooser against its slow twin, id for id; and the masks both take."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from server.engine import chooser as choosers
from server.engine.chooser import Chooser, Mask, TorchChooser, choose, chooser, team
from server.engine.messages import Sampling
from server.engine.restrictions import packed
from tests.server.engine.choosing import chosen

VOCABULARIES = (1, 2, 31, 32, 33, 257, 5000, 65_536)

native = pytest.mark.usefixtures("native_library")


def drawn_sampling(rng: random.Random, vocab: int) -> Sampling:
    """Options of which each is switched on now and then, extremes included."""

    def maybe(neutral: float, *values: float) -> float:
        return rng.choice((neutral, neutral, rng.choice(values), rng.uniform(0, 1)))

    biased = rng.sample(range(vocab), min(vocab, rng.choice((0, 0, 3))))
    return Sampling(
        temperature=rng.choice((0, 1.0, 0.3, 0.7, 1.5, 1e-30, 1e-320, 1e30, rng.uniform(0.1, 2))),
        top_p=maybe(1.0, 0.0, 0.5, 0.95, 0.9999999),
        top_k=rng.choice((0, 0, 1, 2, 40, vocab, 10**9)),
        min_p=maybe(0.0, 0.05, 1.0, 2.0),
        typical_p=maybe(1.0, 0.0, 0.2, 0.95),
        presence_penalty=maybe(0.0, -2.0, 0.7),
        frequency_penalty=maybe(0.0, 0.3, 2.0),
        repetition_penalty=rng.choice((1.0, 1.0, 1.3, 0.1)),
        penalty_decay=rng.choice((1.0, 0.996, 0.0)),
        logit_bias=tuple((token, rng.uniform(-100, 100)) for token in biased),
    )


def drawn_logits(rng: random.Random, vocab: int) -> Tensor:
    """Peaked, flat, of few values (so with ties), with ids ruled out, and far from zero."""
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    logits = torch.randn(vocab, generator=generator) * rng.choice((0.0, 0.1, 1.0, 3.0, 30.0))
    if rng.random() < 0.3:
        logits = logits.round()
    if rng.random() < 0.2:
        logits[torch.rand(vocab, generator=generator) < 0.5] = -torch.inf
    return logits + rng.choice((0.0, 0.0, 1e4, -1e30))


def drawn_mask(rng: random.Random, vocab: int) -> Mask | None:
    if rng.random() < 0.7:
        return None
    return packed(rng.sample(range(vocab), rng.randint(0, vocab)), vocab)


@native
@pytest.mark.parametrize("vocab", VOCABULARIES)
def test_the_native_library_chooses_the_ids_that_its_twin_chooses(vocab: int) -> None:
    rng = random.Random(vocab)
    for _ in range(300 if vocab < 1000 else 60):
        sampling = drawn_sampling(rng, vocab)
        forbidden = torch.tensor(rng.sample(range(vocab), vocab // 8), dtype=torch.int64)
        one, other = chooser(sampling, forbidden), TorchChooser(sampling, forbidden)
        for _ in range(4):
            logits, mask = drawn_logits(rng, vocab), drawn_mask(rng, vocab)
            banned = rng.sample(range(vocab), rng.choice((0, 0, min(2, vocab))))
            drawn = rng.choice((rng.random(), 0.0, 1 - 2**-53))
            found = chosen(one, logits, mask, banned, drawn)
            assert found == chosen(other, logits, mask, banned, drawn), sampling


@native
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_choices_made_at_once_are_those_made_one_by_one(threads: int) -> None:
    rng, own = random.Random(threads), team(threads)
    for vocab in (33, 5000):
        forbidden = torch.tensor([0, 7])
        samplings = [drawn_sampling(rng, vocab) for _ in range(40)]
        at_once = [chooser(sampling, forbidden) for sampling in samplings]
        one_by_one = [chooser(sampling, forbidden) for sampling in samplings]
        for _ in range(10):
            given = [
                (
                    drawn_logits(rng, vocab).numpy(),
                    drawn_mask(rng, vocab),
                    rng.sample(range(vocab), 2),
                    0.7,
                )
                for _ in samplings
            ]
            choices = [one.ask(*from_) for one, from_ in zip(at_once, given, strict=True)]
            choose(choices, own)
            expected = [chosen(one, *from_) for one, from_ in zip(one_by_one, given, strict=True)]
            assert [choice.token for choice in choices] == expected


@native
def test_several_teams_choose_at_the_same_time() -> None:
    """As the engines of several models do."""
    logits = torch.randn(8, 5000, generator=torch.Generator().manual_seed(2)).numpy()

    def choose_often(number: int) -> list[list[int | None]]:
        own, found = team(3), []
        choosers = [made(Sampling(top_p=0.9, frequency_penalty=0.1)) for _ in logits]
        for step in range(200):
            drawn = random.Random(f"{number} {step}").random()
            choices = [
                one.ask(row, None, (), drawn) for one, row in zip(choosers, logits, strict=True)
            ]
            choose(choices, own)
            found.append([choice.token for choice in choices])
        return found

    alone = [choose_often(number) for number in range(3)]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(choose_often, range(3))) == alone


@native
def test_logits_in_a_row_of_a_step_are_read_where_they_lie() -> None:
    rows = torch.randn(3, 77, generator=torch.Generator().manual_seed(1))
    one = chooser(Sampling(temperature=0), torch.tensor([], dtype=torch.int64))
    assert [chosen(one, row, None, (), 0.5) for row in rows] == rows.argmax(1).tolist()
    assert chosen(one, rows.T[5], None, (), 0.5) == int(rows.T[5].argmax())


@pytest.fixture(params=["native", "torch"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(choosers, "available", lambda: False)
    else:
        request.getfixturevalue("native_library")
    return str(request.param)


def made(sampling: Sampling) -> Chooser:
    return chooser(sampling, torch.tensor([], dtype=torch.int64))


def test_without_the_library_torch_chooses(both: str) -> None:
    assert isinstance(made(Sampling()), TorchChooser) == (both == "torch")


@pytest.mark.usefixtures("both")
def test_a_mask_leaves_the_ids_whose_bits_are_set() -> None:
    mask = np.array([1 << 3, 1 << 31], dtype=np.uint32).view(np.int32)
    found = {chosen(made(Sampling()), torch.zeros(64), mask, (), i / 100) for i in range(100)}
    assert found == {3, 63}


@pytest.mark.usefixtures("both")
def test_banned_ids_are_left_out_this_time_only() -> None:
    one = made(Sampling(temperature=0))
    logits = torch.tensor([3.0, 2.0, 1.0])
    assert chosen(one, logits, None, [0], 0.5) == 1
    assert chosen(one, logits, None, (), 0.5) == 0


@pytest.mark.usefixtures("both")
def test_nothing_is_chosen_where_nothing_is_left() -> None:
    none = np.zeros(1, dtype=np.int32)
    assert chosen(made(Sampling()), torch.zeros(3), none, (), 0.5) is None
    assert chosen(made(Sampling()), torch.zeros(3), None, (0, 1, 2), 0.5) is None


@pytest.mark.usefixtures("both")
def test_equals_rank_by_their_ids() -> None:
    logits = torch.zeros(40)
    found = {chosen(made(Sampling(top_k=3)), logits, None, (), i / 50) for i in range(50)}
    assert found == {0, 1, 2}
    found = {chosen(made(Sampling(top_p=0.1)), logits, None, (), i / 50) for i in range(50)}
    assert found == {0, 1, 2, 3}


@pytest.mark.usefixtures("both")
def test_typical_p_keeps_what_is_as_surprising_as_expected() -> None:
    """Entropy 1.14 nats; surprises 0.92, 1.05, 1.61 and 3.0: nearest are 1.05, then 0.92."""
    p = torch.tensor([0.4, 0.35, 0.2, 0.05])
    for mass, kept in ((0.3, {1}), (0.5, {1, 0}), (0.9, {1, 0, 2}), (1.0, {0, 1, 2, 3})):
        one = made(Sampling(typical_p=mass))
        assert {chosen(one, p.log(), None, (), i / 200) for i in range(200)} == kept


@native
@pytest.mark.parametrize("vocab", [3, 64])
def test_the_library_is_never_given_ids_or_masks_beyond_the_logits(vocab: int) -> None:
    logits, far = torch.zeros(vocab), torch.tensor([vocab], dtype=torch.int64)
    for wrong in (
        lambda: chosen(chooser(Sampling(), far), logits, None, (), 0.5),
        lambda: chosen(made(replace(Sampling(), logit_bias=((vocab, 1.0),))), logits, None, (), 0),
        lambda: chosen(made(Sampling()), logits, None, (vocab,), 0.5),
        lambda: chosen(made(Sampling()), logits, np.zeros(0, dtype=np.int32), (), 0.5),
    ):
        with pytest.raises(IndexError):
            wrong()

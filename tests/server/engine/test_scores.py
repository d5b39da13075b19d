"""Likelihoods of prompts and answers, from the logits of the same forward passes."""

import math

import pytest
import torch

from models.base import ModelSpec
from models.rwkv7 import Rwkv7
from server.engine.engine import Engine
from server.engine.messages import (
    Admitted,
    BoundaryReached,
    Branch,
    Event,
    Failed,
    Finished,
    PromptScored,
    Sampling,
    Submit,
    TokenLogprob,
    TokenSampled,
)
from server.engine.scores import score
from tests.checkpoints import Sizes, random_rwkv7
from tests.doubles import CountingModel, SilentWatcher

GREEDY = Sampling(temperature=0)
PROMPT = tuple(range(1, 31))


def submit(
    name: str,
    *pieces: tuple[int, ...],
    branches: int = 1,
    max_tokens: int = 0,
    sampling: Sampling = GREEDY,
    **fields,
) -> Submit:
    made = tuple(Branch(sampling, SilentWatcher()) for _ in range(branches))
    asked = {"stop_ids": frozenset(), "start": None, **fields}
    return Submit(name, pieces=pieces, branches=made, max_tokens=max_tokens, **asked)


@pytest.fixture(scope="module")
def model() -> Rwkv7:
    sizes = Sizes(layers=2, width=64, head_size=32, ffn_width=128, vocab_size=97)
    spec = ModelSpec("7", 2, 64, 2, 32, 128, 97, 0, "random")
    return Rwkv7(spec, random_rwkv7(sizes))


def run(model, *submits: Submit, chunk: int = 8, **options) -> list[Event]:
    engine = Engine(model, max_slots=4, prefill_chunk=chunk, **options)
    for one in submits:
        engine.submit(one)
    events: list[Event] = []
    for _ in range(500):
        events += [e for e in engine.step() if not isinstance(e, Admitted)]
        if engine.idle:
            return events
    raise AssertionError("the engine does not come to rest")


def scores(events: list[Event], name: str = "a") -> list[TokenLogprob | None]:
    parts = [e.scores for e in events if isinstance(e, PromptScored) and e.request == name]
    return [one for part in parts for one in part]


def sampled(events: list[Event], name: str = "a") -> list[TokenSampled]:
    return [e for e in events if isinstance(e, TokenSampled) and e.request == name]


def stepwise(model, ids, padding=()) -> list[torch.Tensor]:
    """Log-probabilities [V] after each id, fed one at a time."""
    state, found = model.new_state(1), []
    for token in ids:
        logits = model.forward(torch.tensor([token]), [1], state)[0].double()
        logits[list(padding)] = -math.inf
        found.append(torch.log_softmax(logits, 0))
    return found


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_prompt_scores_as_if_it_were_fed_token_by_token(model: Rwkv7, chunk: int) -> None:
    found = scores(run(model, submit("a", PROMPT, prompt_logprobs=3), chunk=chunk))
    expected = stepwise(model, PROMPT)
    assert found[0] is None
    for place, token in enumerate(PROMPT[1:], start=1):
        best = expected[place - 1].topk(3)
        assert found[place].logprob == pytest.approx(float(expected[place - 1][token]), abs=1e-4)
        assert [one for one, _ in found[place].top] == best.indices.tolist()
        tops = [logprob for _, logprob in found[place].top]
        assert tops == pytest.approx(best.values.tolist(), abs=1e-4)


def test_scores_go_on_across_a_boundary(model: Rwkv7) -> None:
    whole = scores(run(model, submit("a", PROMPT, prompt_logprobs=1)))
    cut = scores(run(model, submit("a", PROMPT[:11], PROMPT[11:], prompt_logprobs=1)))
    assert [one and one.token for one in cut] == [None, *PROMPT[1:]]
    for one, other in zip(cut[1:], whole[1:], strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


def test_scores_come_before_the_boundary_they_lead_to(model: Rwkv7) -> None:
    events = run(model, submit("a", PROMPT[:3], PROMPT[3:5], prompt_logprobs=0))
    kinds = [type(event) for event in events]
    assert kinds == [PromptScored, BoundaryReached, PromptScored, BoundaryReached, Finished]


def test_a_prompt_is_scored_once_for_all_its_branches(model: Rwkv7) -> None:
    events = run(model, submit("a", PROMPT, branches=3, max_tokens=2, prompt_logprobs=0))
    assert len(scores(events)) == len(PROMPT)


def test_scoring_changes_nothing_for_its_neighbours() -> None:
    other = submit("b", (5, 6, 7), max_tokens=9)
    alone, steps = CountingModel(), CountingModel()
    plain = run(alone, submit("a", PROMPT, max_tokens=3), other)
    scored = run(steps, submit("a", PROMPT, max_tokens=3, prompt_logprobs=5, logprobs=5), other)
    assert alone.steps == steps.steps
    assert sampled(plain, "b") == sampled(scored, "b")


def test_a_sampled_token_scores_by_the_raw_logits(model: Rwkv7) -> None:
    warm = Sampling(temperature=1.7, presence_penalty=2, logit_bias=((3, 5.0),), seed=4)
    events = run(model, submit("a", PROMPT, max_tokens=6, sampling=warm, logprobs=2))
    tokens = [event.token for event in sampled(events)]
    expected = stepwise(model, [*PROMPT, *tokens])[len(PROMPT) - 1 :]
    for event, logprobs in zip(sampled(events), expected, strict=False):
        assert event.logprob.token == event.token
        assert event.logprob.logprob == pytest.approx(float(logprobs[event.token]), abs=1e-4)
        assert len(event.logprob.top) == 2


def test_no_alternatives_are_the_chosen_token_alone(model: Rwkv7) -> None:
    (event,) = sampled(run(model, submit("a", PROMPT, max_tokens=1, logprobs=0)))
    assert event.logprob.top == ()


def test_nothing_is_scored_unasked(model: Rwkv7) -> None:
    events = run(model, submit("a", PROMPT, max_tokens=2))
    assert scores(events) == []
    assert [event.logprob for event in sampled(events)] == [None, None]


def test_the_token_that_stops_scores_with_the_end(model: Rwkv7) -> None:
    first = sampled(run(model, submit("a", PROMPT, max_tokens=1, logprobs=1)))[0]
    stop = frozenset({first.token})
    events = run(model, submit("a", PROMPT, max_tokens=9, logprobs=1, stop_ids=stop))
    assert sampled(events) == []
    assert (events[-1].stop_token, events[-1].logprob) == (first.token, first.logprob)


def test_padding_takes_no_probability(model: Rwkv7) -> None:
    padding = range(50, 97)
    events = run(model, submit("a", (3, 60, 4), prompt_logprobs=97), forbidden_ids=padding)
    _, pad, real = scores(events)
    assert pad.logprob == -math.inf
    assert len(real.top) == 50
    assert sum(math.exp(logprob) for _, logprob in real.top) == pytest.approx(1)


def test_no_tokens_wanted_feeds_the_prompt_and_ends(model: Rwkv7) -> None:
    events = run(model, submit("a", PROMPT, branches=2, max_tokens=0))
    ends = [event for event in events if isinstance(event, Finished)]
    assert [(end.reason, end.sampled) for end in ends] == [("length", 0), ("length", 0)]
    assert ends[0].snapshot.fed.to_list() == list(PROMPT)


def test_a_prompt_that_cannot_be_scored_fails_alone() -> None:
    class Broken(CountingModel):
        def forward(self, tokens, lengths, state, *, every=False):
            logits = super().forward(tokens, lengths, state, every=every)
            return logits.masked_fill((tokens == 13)[:, None], math.nan) if every else logits

    scored, other = submit("a", (13, 2), prompt_logprobs=1), submit("b", (5, 6), max_tokens=3)
    events = run(Broken(), scored, other)
    assert [e.request for e in events if isinstance(e, Failed)] == ["a"]
    assert len(sampled(events, "b")) == 3


def test_alternatives_are_no_more_than_there_are_ids() -> None:
    (found,) = score([torch.zeros(4)], (2,), 20, torch.tensor([0]))
    assert len(found.top) == 3
    assert found.logprob == pytest.approx(-math.log(3))

"""Tokens chosen and scored for all sequences of a step at once, whose failures stay apart."""

from dataclasses import replace

import pytest
import torch

from server.engine import answering
from server.engine.engine import Engine
from server.engine.messages import (
    Branch,
    Event,
    Failed,
    Finished,
    Sampling,
    Submit,
    TokenSampled,
    Watched,
)
from tests.doubles import CountingModel, SilentWatcher
from tests.server.engine.test_engine import expected, finished, run, tokens

VOCAB = 97


def submit(name: str, sampling: Sampling | None = None, **fields) -> Submit:
    made = Branch(sampling or Sampling(temperature=0), SilentWatcher())
    prompt = (ord(name[0]), 1, 2)
    given = Submit(name, None, (prompt,), (made,), 6, frozenset())
    return replace(given, **fields)


def answers(*submits: Submit, model: CountingModel | None = None) -> list[Event]:
    engine = Engine(model or CountingModel(), max_slots=4, prefill_chunk=100, threads=2)
    for one in submits:
        engine.submit(one)
    return run(engine)


def failed(events: list[Event]) -> list[str]:
    return [event.request for event in events if isinstance(event, Failed)]


def test_a_step_chooses_for_all_its_sequences_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, choose = [], answering.choose
    monkeypatch.setattr(
        answering,
        "choose",
        lambda choices, team: (counts.append(len(choices)), choose(choices, team)),
    )
    answers(submit("a"), submit("b"), submit("c"))
    assert counts == [3] * 6 + [0]  # and once their last tokens are fed, they end


def test_a_sequence_that_cannot_choose_fails_alone() -> None:
    class Broken(CountingModel):
        def forward(self, fed, lengths, *args, **options) -> torch.Tensor:
            logits = super().forward(fed, lengths, *args, **options)
            logits[fed[torch.tensor(lengths).cumsum(0) - 1] == 13] = torch.nan
            return logits

    no_such_id = Sampling(logit_bias=((VOCAB, 1.0),))
    no_numbers = submit("d", pieces=((1, 13),))
    events = answers(submit("a"), submit("b", no_such_id), submit("c"), no_numbers, model=Broken())
    assert failed(events) == ["b", "d"]
    for name in "ac":
        assert tokens(events, name) == expected([ord(name), 1, 2], 6)


def test_an_answer_without_a_likelihood_fails_alone() -> None:
    class Endless(CountingModel):
        def forward(self, *args, **options) -> torch.Tensor:
            logits = super().forward(*args, **options)
            logits[:, 5] = torch.inf
            return logits

    cut = Sampling(temperature=0, allowed_ids=(1, 2, 3))
    events = answers(submit("a", cut), submit("b", cut, logprobs=1), model=Endless())
    assert failed(events) == ["b"]
    assert len(tokens(events, "a")) == 6


def test_tokens_are_scored_beside_others_as_they_are_alone() -> None:
    many = [submit("a", logprobs=3), submit("b"), submit("c", logprobs=0), submit("d", logprobs=90)]

    def scored(events: list[Event], name: str) -> list[object]:
        return [
            event.logprob
            for event in events
            if isinstance(event, TokenSampled) and event.request == name
        ]

    together = answers(*many)
    assert [len(one.top) for one in scored(together, "a")] == [3] * 6
    for one in many:
        assert scored(together, one.request) == scored(answers(one), one.request)


def test_where_choosing_fails_only_those_fail_that_were_to_choose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(CountingModel(), max_slots=4, prefill_chunk=4)
    engine.submit(submit("a"))
    engine.step()
    engine.submit(submit("b", pieces=((7,) * 9,)))
    with monkeypatch.context() as patch:
        patch.setattr(answering, "choose", no_memory)
        events = engine.step()
    events += run(engine)
    assert failed(events) == ["a"]
    assert tokens(events, "b") == expected([7] * 9, 6)


def no_memory(*_: object) -> None:
    raise MemoryError


class FailingWatcher(SilentWatcher):
    def push(self, token: int) -> Watched:
        if self.count == 2:
            raise RuntimeError("it broke")
        return super().push(token)


def test_a_branch_that_fails_takes_its_request_along_and_no_other() -> None:
    watchers = SilentWatcher(), FailingWatcher(), SilentWatcher()
    branches = tuple(Branch(Sampling(temperature=0), watcher) for watcher in watchers)
    events = answers(submit("a", branches=branches), submit("b"))
    assert failed(events) == ["a"]
    assert not [e for e in events if isinstance(e, Finished) and e.request == "a"]
    assert len(finished(events, "b").snapshot.fed.to_list()) == 3 + 6
    after = events[events.index(next(e for e in events if isinstance(e, Failed))) :]
    assert not [e for e in after if isinstance(e, TokenSampled) and e.request == "a"]

"""Guessed tokens: the same answers, in fewer steps."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from models.base import State
from server.chat.stops import TextWatcher
from server.engine.draft import Drafter
from server.engine.engine import Engine
from server.engine.messages import Branch, Event, Finished, Sampling, Submit, TokenSampled
from server.engine.snapshot import Snapshot
from tests.doubles import ByteTokenizer, CountingModel

TOKENIZER = ByteTokenizer()
VOCAB = 97


class ChainModel(CountingModel):
    """What follows a token depends on it alone; the state holds what was fed, in order."""

    def __init__(self, spread: float, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._table = torch.randn(VOCAB, VOCAB, generator=generator) * spread

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        self.steps.append(tuple(lengths))
        for row, part in enumerate(tokens.split(list(lengths))):
            state.att_shift[0, row, 0] += len(part)
            fed = int(state.wkv[0, row, 0, 0, 0])
            for token in part.tolist():
                fed = (fed * 3 + token) % 10007
            state.wkv[0, row, 0, 0, 0] = fed
        ends = torch.tensor(lengths).cumsum(0) - 1
        return self._table[tokens if every else tokens[ends]].clone()


def run(
    model: CountingModel, drafted: int, submits: Sequence[Submit], threads: int = 1
) -> list[Event]:
    engine = Engine(model, max_slots=4, prefill_chunk=8, drafted_tokens=drafted, threads=threads)
    for submit in submits:
        engine.submit(submit)
    events: list[Event] = []
    for _ in range(2000):
        events += engine.step()
        if engine.idle:
            return events
    raise AssertionError("the engine does not come to rest")


def drawn_submits(seed: int) -> list[Submit]:
    """Answers with stops of every kind, which end before, within and behind guesses."""
    rng = random.Random(seed)
    return [
        Submit(
            str(number),
            None,
            (tuple(rng.randrange(1, VOCAB) for _ in range(rng.randint(1, 20))),),
            (Branch(drawn_sampling(rng), TextWatcher(TOKENIZER, drawn_stops(rng), trim=False)),),
            rng.randint(1, 80),
            frozenset(rng.sample(range(VOCAB), rng.choice((0, 1, 4)))),
            logprobs=rng.choice((None, 2)),
        )
        for number in range(rng.choice((1, 1, 2)))
    ]


def drawn_sampling(rng: random.Random) -> Sampling:
    return Sampling(
        temperature=rng.choice((0, 0.7, 1.0)),
        top_p=rng.choice((0.5, 1.0)),
        frequency_penalty=rng.choice((0.0, 0.05)),
        seed=rng.getrandbits(30),
    )


def drawn_stops(rng: random.Random) -> list[str]:
    return [
        "".join(chr(rng.randrange(VOCAB - 1)) for _ in range(rng.choice((1, 2, 3))))
        for _ in range(rng.choice((0, 1, 6)))
    ]


def told(events: Sequence[Event]) -> dict[str, list[object]]:
    """What each request's events say, but for when, and snapshots down to their values."""
    found: dict[str, list[object]] = {}
    for event in events:
        said: list[object] = [type(event)]
        for name in type(event).__slots__:
            value = getattr(event, name)
            said.append(seen(value) if isinstance(value, Snapshot) else value)
        found.setdefault(event.request, []).append(said)
    return found


def seen(snapshot: Snapshot) -> tuple[object, ...]:
    state = [tensor.tolist() for tensor in snapshot.state.tensors]
    return state, snapshot.logits.tolist(), snapshot.fed.to_list()


@cache
def undrafted(spread: float, seed: int) -> tuple[dict[str, list[object]], int]:
    """What is told, and in how many steps, where nothing is guessed."""
    model = ChainModel(spread, seed)
    return told(run(model, 1, drawn_submits(seed))), len(model.steps)


@pytest.mark.parametrize("drafted", [2, 4, 9])
@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_answers_and_what_is_kept_of_them_are_the_same(drafted: int, spread: float) -> None:
    shorter = 0
    for seed in range(60):
        expected, steps = undrafted(spread, seed)
        ahead = ChainModel(spread, seed)
        assert told(run(ahead, drafted, drawn_submits(seed))) == expected
        shorter += len(ahead.steps) < steps
    assert shorter > (10 if spread > 1 else 0)


@pytest.mark.parametrize("drafted", [1, 9])
def test_answers_are_the_same_on_any_number_of_threads(drafted: int) -> None:
    for seed in range(30):
        submits = [*drawn_submits(seed), *others(seed)]
        alone = told(run(ChainModel(3.0, seed), drafted, submits))
        submits = [*drawn_submits(seed), *others(seed)]
        assert told(run(ChainModel(3.0, seed), drafted, submits, threads=4)) == alone


def others(seed: int) -> list[Submit]:
    """More of the same, by other names."""
    drawn = [*drawn_submits(seed + 1000), *drawn_submits(seed + 2000)]
    return [replace(one, request=f"{number} more") for number, one in enumerate(drawn)]


class ScriptModel(CountingModel):
    """Writes a text by heart, whatever it is fed; the state counts the tokens."""

    def __init__(self, text: str) -> None:
        super().__init__(vocab_size=257)
        self._ids = torch.tensor(TOKENIZER.encode(text))

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        self.steps.append(tuple(lengths))
        rows = []
        for row, count in enumerate(lengths):
            before = int(state.wkv[0, row, 0, 0, 0])
            state.wkv[0, row, 0, 0, 0] += count
            rows += list(range(before, before + count))[0 if every else -1 :]
        logits = torch.full((len(rows), 257), -1e4)
        logits[range(len(rows)), self._ids[rows]] = 0
        return logits


@pytest.mark.parametrize("stop", ["bcX", "cX", "X", "efabcX", "abcXY", "abcXYZab"])
@pytest.mark.parametrize("drafted", [1, 3, 6, 30])
def test_a_stop_string_is_cut_out_of_the_state_also_among_guesses(stop: str, drafted: int) -> None:
    text = "abcdef" * 8 + "abcXYZabcdef"
    model = ScriptModel(text)
    watcher = TextWatcher(TOKENIZER, (stop,), trim=False)
    branch = Branch(Sampling(temperature=0), watcher)
    (end,) = [
        event
        for event in run(model, drafted, [Submit("a", None, ((1,),), (branch,), 99, frozenset())])
        if isinstance(event, Finished)
    ]
    kept = text[: text.index(stop)]
    assert end.snapshot is not None
    assert end.snapshot.fed.to_list() == [1, *TOKENIZER.encode(kept)]
    assert end.snapshot.state.wkv[0, 0, 0, 0, 0] == 1 + len(kept)
    assert int(end.snapshot.logits.argmax()) == TOKENIZER.encode(text)[len(kept)]


def greedy(max_tokens: int, name: str = "a") -> Submit:
    watcher = TextWatcher(TOKENIZER, (), trim=False)
    branch = Branch(Sampling(temperature=0), watcher)
    return Submit(name, None, ((1, 2, 3),), (branch,), max_tokens, frozenset())


def test_text_that_repeats_itself_takes_a_part_of_the_steps() -> None:
    model = ChainModel(4.0)
    events = run(model, 4, [greedy(200)])
    assert sum(isinstance(event, TokenSampled) for event in events) == 200
    assert len(model.steps) < 90


def test_a_step_has_no_more_tokens_than_it_may() -> None:
    model = ChainModel(4.0)
    run(model, 6, [greedy(100), greedy(100, "b")])
    assert max(map(sum, model.steps[3:])) == 6
    assert all(len(lengths) == 1 or max(lengths) <= 3 for lengths in model.steps[3:])
    model = ChainModel(4.0)
    run(model, 2, [greedy(100), greedy(100, "b")])
    assert max(map(sum, model.steps[3:])) == 2


def test_a_cancelled_answer_is_kept_as_it_was_told() -> None:
    model = ChainModel(4.0)
    engine = Engine(model, max_slots=1, prefill_chunk=8, drafted_tokens=4)
    engine.submit(greedy(10_000))
    events: list[Event] = []
    for _ in range(40):
        events += engine.step()
    engine.cancel("a")
    while not engine.idle:
        events += engine.step()
    (end,) = [event for event in events if isinstance(event, Finished)]
    said = [event.token for event in events if isinstance(event, TokenSampled)]
    assert len(said) > 60
    assert end.snapshot is not None
    assert end.snapshot.fed.to_list() == [1, 2, 3, *said]


def test_guesses_are_what_followed_the_last_time() -> None:
    drafter = Drafter([1, 2, 3, 4, 5, 9, 1, 2, 3])
    assert drafter.draft(2) == ()  # none has come true yet
    for token in (4, 5, 9, 1, 2):
        drafter.push(token)
    assert drafter.draft(3) == (3, 4, 5)


def test_guesses_that_do_not_come_true_are_given_up() -> None:
    drafter = Drafter([1, 2, 3] * 10)
    drafter.push(1)
    for _ in range(5):
        drafter.push(2)
        drafter.push(3)
        drafter.push(1)
    assert drafter.draft(1) == (2,)
    for wrong in range(20, 24):
        for token in (1, 2, 3, wrong):
            drafter.push(token)
    drafter.push(1)
    drafter.push(2)
    drafter.push(3)
    assert drafter.draft(1) == ()

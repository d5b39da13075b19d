"""Conversations of every generation in a real engine: apart, resumable, and fresh at the start."""

from pathlib import Path

import pytest
import torch

from models import loader
from models.backends import select
from models.base import Model
from server.engine.engine import Engine
from server.engine.messages import Branch, Event, Finished, Sampling, Submit, TokenSampled
from server.engine.snapshot import Snapshot
from tests.checkpoints import Sizes, random_rwkv, save
from tests.doubles import SilentWatcher

LENGTHS = (3, 40, 1, 70, 17)
SIZES = Sizes(layers=2, width=64, head_size=32, ffn_width=96, vocab_size=160)


@pytest.fixture(params=["4", "5.0", "5.1", "5.2", "6", "7"], scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path: Path = tmp_path_factory.mktemp("checkpoint") / "model.pth"
    save(random_rwkv(request.param, SIZES), path)
    return loader.load(path, select("cpu", threads=1), "float32")


def prompt(length: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(length)
    return tuple(torch.randint(1, SIZES.vocab_size, (length,), generator=generator).tolist())


def submit(
    name: str, *pieces: tuple[int, ...], start: Snapshot | None = None, max_tokens: int = 12
) -> Submit:
    branch = Branch(Sampling(temperature=0), SilentWatcher())
    return Submit(name, start, pieces, (branch,), max_tokens, frozenset())


def run(model: Model, *submits: Submit, slots: int = 3) -> list[Event]:
    engine, events = Engine(model, max_slots=slots, prefill_chunk=24), []
    for one in submits:
        engine.submit(one)
    while not engine.idle:
        events += engine.step()
    return events


def tokens(events: list[Event], name: str) -> list[int]:
    return [e.token for e in events if isinstance(e, TokenSampled) and e.request == name]


def end(events: list[Event]) -> Snapshot:
    (found,) = (e.snapshot for e in events if isinstance(e, Finished))
    assert found is not None
    return found


def by_hand(model: Model, ids: tuple[int, ...], count: int) -> list[int]:
    """The greedy answer to `ids`, without an engine."""
    state, fed, chosen = model.new_state(1), list(ids), []
    for _ in range(count):
        fed = [int(model.forward(torch.tensor(fed), [len(fed)], state).argmax())]
        chosen += fed
    return chosen


def test_conversations_side_by_side_stay_apart(model: Model) -> None:
    events = run(model, *(submit(str(length), prompt(length)) for length in LENGTHS))
    for length in LENGTHS:
        assert tokens(events, str(length)) == by_hand(model, prompt(length), 12), length


def test_a_conversation_in_a_used_slot_starts_from_nothing(model: Model) -> None:
    events = run(model, submit("before", prompt(50)), submit("after", prompt(20)), slots=1)
    assert tokens(events, "after") == by_hand(model, prompt(20), 12)


def test_a_resumed_answer_is_the_uninterrupted_one(model: Model) -> None:
    whole = tokens(run(model, submit("a", prompt(40))), "a")
    head = run(model, submit("a", prompt(40), max_tokens=5))
    others = [submit(str(length), prompt(length)) for length in LENGTHS]
    tail = run(model, *others, submit("b", start=end(head), max_tokens=7))
    assert tokens(head, "a") + tokens(tail, "b") == whole


def test_a_second_turn_continues_what_the_first_one_read(model: Model) -> None:
    first = run(model, submit("a", prompt(40)))
    second = run(model, submit("b", prompt(30), start=end(first)))
    history = (*prompt(40), *tokens(first, "a"), *prompt(30))
    assert tokens(second, "b") == by_hand(model, history, 12)

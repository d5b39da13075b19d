"""An answer from a kept state is the answer of a conversation that was never interrupted."""

import itertools
from collections.abc import AsyncIterator, Callable

import pytest
import torch

from models import gosling, loader
from models import tokenizer as tokenizers
from models.backends import select
from server.chat.served import ServedModel
from server.chat.service import ChatService
from server.chat.template import G1
from server.chat.types import ChoiceEnd, Message, SamplingOptions, TextDelta, TurnRequest
from server.engine.client import EngineClient
from server.engine.engine import Engine
from server.engine.snapshot import Snapshot
from server.session import Entry, SessionManager, SnapshotStore

QUESTIONS = ("Hello! My name is Orla.", "What is 12 + 30?", "What is my name?")
GREEDY = SamplingOptions(temperature=0)


class RecordingStore(SnapshotStore):
    """Remembers every snapshot it was given, in order."""

    def __init__(self) -> None:
        super().__init__(2**30)
        self.history: list[Snapshot] = []

    def forget(self) -> None:
        super().__init__(2**30)

    def put(self, entry: Entry, snapshot: Snapshot) -> bool:
        self.history.append(snapshot)
        return super().put(entry, snapshot)


@pytest.fixture(scope="module")
def model():
    return loader.load(gosling.PATH, select("cpu", threads=1))


@pytest.fixture(scope="module")
def tokenizer(model):
    return tokenizers.load(gosling.PATH, model.spec.vocab_size)


@pytest.fixture
async def service(model, tokenizer) -> AsyncIterator[tuple[ChatService, RecordingStore]]:
    client = EngineClient(Engine(model, max_slots=4, prefill_chunk=512), capacity=8)
    client.start()
    store = RecordingStore()
    served = ServedModel("gosling", model.spec, "float32", tokenizer, G1)
    yield ChatService(served, client, SessionManager(store), default_max_tokens=40), store
    await client.stop()


async def converse(service: ChatService, after: Callable[[], None] = lambda: None) -> list[str]:
    """All QUESTIONS in one conversation; `after` is called between the turns."""
    messages: tuple[Message, ...] = ()
    answers = []
    for question in QUESTIONS:
        messages += (Message("user", question),)
        turn = await service.start(TurnRequest("me", messages, sampling=GREEDY))
        events = [event async for event in turn.events()]
        answers.append("".join(e.text for e in events if isinstance(e, TextDelta)))
        assert isinstance(events[-1], ChoiceEnd)
        messages += (Message("assistant", answers[-1]),)
        after()
    return answers


def uninterrupted(model, snapshots: list[Snapshot]) -> list[torch.Tensor]:
    """Logits at every snapshot of one state that was never copied, fed the same ids."""
    state, fed, logits = model.new_state(1), 0, []
    for snapshot in snapshots:
        ids = snapshot.fed.to_list()[fed:]
        fed += len(ids)
        is_prompt = len(logits) % 2 == 0  # prompts are fed whole, answers token by token
        for part in [ids] if is_prompt else [[token] for token in ids]:
            row = model.forward(torch.tensor(part), [len(part)], state)[0]
        logits.append(row)
    return logits


async def test_resumed_logits_are_bit_equal_to_an_uninterrupted_sessions(service, model) -> None:
    chat, store = service
    await converse(chat)
    expected = uninterrupted(model, store.history)
    for snapshot, logits in zip(store.history, expected, strict=True):
        assert torch.equal(snapshot.logits, logits)


async def test_every_turn_continues_the_ids_that_were_fed_before(service) -> None:
    chat, store = service
    await converse(chat)
    fed = [snapshot.fed.to_list() for snapshot in store.history]
    for earlier, later in itertools.pairwise(fed):
        assert later[: len(earlier)] == earlier


async def test_a_replay_of_the_fed_ids_agrees_within_float32_rounding(service, model) -> None:
    chat, store = service
    await converse(chat)
    for snapshot in store.history:
        ids = snapshot.fed.to_list()
        replayed = model.forward(torch.tensor(ids), [len(ids)], model.new_state(1))[0]
        assert (replayed - snapshot.logits).abs().max() < 1e-3


async def test_a_conversation_whose_states_were_lost_gets_the_same_answers(service) -> None:
    chat, store = service
    kept = await converse(chat)
    chat_again = await converse(chat, after=store.forget)
    assert chat_again == kept

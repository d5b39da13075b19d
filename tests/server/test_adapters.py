"""Adapters under MODEL:NAME: their answers, their states, and the memory they share."""

from pathlib import Path

import pytest
import torch

from models import loader
from models.adapters import initial_state, open_adapter
from models.backends import select
from server.app import App, build
from server.errors import ModelUnavailable
from tests.server.several import (
    ADAPTERS,
    AGAIN,
    HELLO,
    ask,
    ask_alone,
    configured,
    folder_of_all,
    loaded,
    question,
)

NAMES = ("one:mood", "one:poet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_all(tmp_path_factory.mktemp("models"))


@pytest.fixture
def app(folder: Path) -> App:
    return build(configured(folder))


def greedy(folder: Path, prompt: list[int], padding: range, count: int) -> list[int]:
    """What one.pth says after its tuned initial state and `prompt`, one forward for each token."""
    model = loader.load(folder / "one.pth", select("cpu", threads=1))
    state = initial_state(open_adapter(folder / "mood.pth"), model)
    logits = model.forward(torch.tensor(prompt), [len(prompt)], state)[0].clone()
    said: list[int] = []
    while len(said) < count:
        logits[list(padding)] = -torch.inf
        logits[0] -= 100
        said.append(int(logits.argmax()))
        logits = model.forward(torch.tensor(said[-1:]), [1], state)[0].clone()
    return said


async def test_a_tuned_initial_state_is_what_its_conversations_begin_with(
    folder: Path, app: App
) -> None:
    async with app.running():
        tuned, plain = await ask(app, "one:mood", HELLO), await ask(app, "one", HELLO)
        model = (await app.catalogue.find("one:mood")).model
    tokenizer = model.tokenizer
    segments = model.lay_out("me", [HELLO]).segments
    prompt = [id for segment in segments for id in tokenizer.encode(segment.text)]
    padding = range(tokenizer.vocab_size, model.spec.vocab_size)
    expected = tokenizer.decode(greedy(folder, prompt, padding, 8))
    # The last bytes of a cut answer may be no character yet.
    assert expected.startswith(tuned.text.rstrip("\N{REPLACEMENT CHARACTER}"))
    assert tuned.text != plain.text


async def test_a_merged_adapter_answers_as_the_full_checkpoint_does(folder: Path, app: App) -> None:
    async with app.running():
        merged, plain = await ask(app, "one:poet", HELLO), await ask(app, "one", HELLO)
    assert merged.text == (await ask_alone(folder / "merged.pth", HELLO)).text
    assert merged.text != plain.text


@pytest.mark.parametrize("name", NAMES)
async def test_no_token_of_a_first_question_is_cached(app: App, name: str) -> None:
    async with app.running():
        assert (await ask(app, name, HELLO)).cached == 0


@pytest.mark.parametrize("name", NAMES)
async def test_a_follow_up_costs_its_own_words_only(app: App, name: str) -> None:
    async with app.running():
        first = await ask(app, name, HELLO)
        second = await ask(app, name, HELLO, first.message, AGAIN)
        tokenizer = (await app.catalogue.find(name)).model.tokenizer
    new = ("\n\nUser: And again?", "\n\nAssistant:")
    assert second.prompt - second.cached == sum(len(tokenizer.encode(text)) for text in new)


async def test_states_of_a_model_and_its_adapters_never_mix(app: App) -> None:
    async with app.running():
        ids = ("one", *NAMES)
        cached = [(await ask(app, id, HELLO)).cached for id in ids]
        again = [(await ask(app, id, HELLO)).cached for id in ids]
    assert cached == [0, 0, 0]
    assert min(again) > 0


async def test_a_tuned_initial_state_needs_no_weights_of_its_own(app: App) -> None:
    async with app.running():
        before = loaded(app)
        await ask(app, "one:mood", HELLO)
        assert before == loaded(app) == ["one", "one:mood"]


async def test_a_merged_adapter_is_loaded_on_its_own(app: App) -> None:
    async with app.running():
        await ask(app, "one:poet", HELLO)
        assert loaded(app) == ["one", "one:mood", "one:poet"]


async def test_a_merged_adapter_takes_less_than_a_second_model(folder: Path) -> None:
    """Its embedding and head are its base's, once it is loaded."""
    offer, *_ = build(configured(folder)).catalogue.offers
    app = build(configured(folder, engine__models_bytes=2 * offer.nbytes))
    async with app.running():
        await ask(app, "one:poet", HELLO)
        both = app.catalogue._nbytes(app.catalogue._runtimes.values())
        assert loaded(app)[:3] == ["one", "one:mood", "one:poet"]
    assert offer.nbytes < both < 1.9 * offer.nbytes


async def test_the_base_of_a_merged_adapter_is_the_last_to_make_room(folder: Path) -> None:
    one, *_ = build(configured(folder)).catalogue.offers
    app = build(configured(folder, engine__models_bytes=int(2.5 * one.nbytes)))
    async with app.running():
        await ask(app, "two", HELLO)
        await ask(app, "one:poet", HELLO)
        assert loaded(app) == ["one", "one:mood", "one:poet"]


async def test_a_merged_adapter_answers_after_its_base_was_unloaded(folder: Path) -> None:
    one, *_ = build(configured(folder)).catalogue.offers
    app = build(configured(folder, engine__models_bytes=one.nbytes))
    async with app.running():
        said = await ask(app, "one:poet", HELLO)
        assert loaded(app) == ["one:poet"]
    assert said.text == (await ask_alone(folder / "merged.pth", HELLO)).text


@pytest.mark.parametrize("name", NAMES)
async def test_a_conversation_survives_its_adapters_unloading(folder: Path, name: str) -> None:
    one, *_ = build(configured(folder)).catalogue.offers
    app = build(configured(folder, engine__models_bytes=one.nbytes))
    async with app.running():
        first = await ask(app, name, HELLO)
        await ask(app, "two", HELLO)
        assert loaded(app) == ["two"]
        second = await ask(app, name, HELLO, first.message, AGAIN)
    assert second.cached >= first.prompt + 8 - 1


async def test_an_answer_from_a_tuned_state_keeps_its_base_loaded(folder: Path) -> None:
    one, *_ = build(configured(folder)).catalogue.offers
    app = build(configured(folder, engine__models_bytes=one.nbytes))
    async with app.running():
        turn = await (await app.catalogue.find("one:mood")).start(question(HELLO, max_tokens=10**9))
        with pytest.raises(ModelUnavailable):
            await app.catalogue.find("two")
        turn.cancel()


def test_a_flag_gives_the_first_model_an_adapter(folder: Path) -> None:
    app = build(configured(folder, "", adapters=[f"mood={folder / 'mood.pth'}"]))
    assert [offer.id for offer in app.catalogue.offers] == ["one", "one:mood"]


def test_adapters_of_another_model_are_called_by_its_id(folder: Path) -> None:
    text = ADAPTERS.replace('name = "mood"', 'name = "mood"\nmodel = "org/three"')
    more = '[[models]]\npath = "{folder}/three.pth"\nid = "org/three"\n'
    app = build(configured(folder, more + text))
    assert [offer.id for offer in app.catalogue.offers][2:] == ["org/three:mood", "one:poet"]

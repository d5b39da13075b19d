"""Several models in one server: found by id, loaded when they are asked for, unloaded for room."""

import asyncio
import gc
import logging
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models import loader
from models.backends import Backend
from server.app import App, StartError, build
from server.errors import AnswerFailed, ModelUnavailable, NotFound
from tests.checkpoints import random_rwkv7, save
from tests.models.adapters.files import low_ranks, time_states
from tests.server.several import (
    AGAIN,
    HELLO,
    MODELS,
    ask,
    ask_alone,
    configured,
    folder_of_all,
    loaded,
    question,
)
from tests.server.tiny import SIZES

PATIENCE_S = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_all(tmp_path_factory.mktemp("models"))


@pytest.fixture
def app(folder: Path) -> App:
    return build(configured(folder, MODELS))


def tight(folder: Path, models: float) -> App:
    """With room for so many models."""
    one = build(configured(folder, MODELS)).catalogue.offers[0].nbytes
    return build(configured(folder, MODELS, engine__models_bytes=int(models * one)))


class Gate:
    """Holds back the loading of one file until it is opened."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.loads = 0
        self._load = loader.load

    def load(self, path: Path, *rest: Any, **named: Any) -> Any:
        if path.name == self._name:
            self.loads += 1
            self.reached.set()
            assert self.opened.wait(PATIENCE_S)
        return self._load(path, *rest, **named)

    async def until_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, PATIENCE_S)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate("two.pth")
    monkeypatch.setattr(loader, "load", gate.load)
    return gate


async def test_every_model_answers_as_it_does_when_it_is_served_alone(
    folder: Path, app: App
) -> None:
    async with app.running():
        said = [await ask(app, id, HELLO) for id in ("one", "two", "org/three")]
    files = [folder / f"{name}.pth" for name in ("one", "two", "three")]
    assert said == [await ask_alone(file, HELLO) for file in files]
    assert len({answer.text for answer in said}) == 3


async def test_a_model_is_loaded_when_it_is_first_asked_for(app: App) -> None:
    async with app.running():
        assert loaded(app) == ["one"]
        await ask(app, "two", HELLO)
        assert loaded(app) == ["one", "two"]


async def test_an_unknown_id_is_refused_with_the_ids_there_are(app: App) -> None:
    async with app.running():
        with pytest.raises(NotFound, match=r"'four' is not served.*'one', 'two', 'org/three'"):
            await app.catalogue.find("four")


async def test_those_who_ask_for_the_same_model_share_its_loading(app: App, gate: Gate) -> None:
    async with app.running():
        asked = [asyncio.create_task(ask(app, "two", HELLO)) for _ in range(3)]
        await gate.until_reached()
        gate.opened.set()
        answers = await asyncio.gather(*asked)
    assert len({answer.text for answer in answers}) == 1
    assert gate.loads == 1


async def test_who_leaves_does_not_end_the_loading_for_others(app: App, gate: Gate) -> None:
    async with app.running():
        leaving, staying = (asyncio.create_task(ask(app, "two", HELLO)) for _ in range(2))
        await gate.until_reached()
        leaving.cancel()
        gate.opened.set()
        assert (await staying).text
    assert gate.loads == 1


async def test_loaded_models_answer_while_another_is_loaded(app: App, gate: Gate) -> None:
    async with app.running():
        waiting = asyncio.create_task(ask(app, "two", HELLO))
        await gate.until_reached()
        assert (await ask(app, "one", HELLO)).text
        assert not waiting.done()
        gate.opened.set()
        assert (await waiting).text


async def test_models_are_loaded_one_at_a_time(app: App, gate: Gate) -> None:
    async with app.running():
        two, three = (asyncio.create_task(ask(app, id, HELLO)) for id in ("two", "org/three"))
        await gate.until_reached()
        await asyncio.sleep(0.05)
        assert loaded(app) == ["one"]
        gate.opened.set()
        await asyncio.gather(two, three)
        assert loaded(app) == ["one", "two", "org/three"]


async def test_the_least_recently_used_model_makes_room(folder: Path) -> None:
    app = tight(folder, 2.5)
    async with app.running():
        for id in ("one", "two", "one", "org/three"):
            await ask(app, id, HELLO)
        assert loaded(app) == ["one", "org/three"]


async def test_as_many_models_are_unloaded_as_it_takes(folder: Path) -> None:
    app = tight(folder, 1)
    async with app.running():
        for id in ("two", "org/three", "one"):
            await ask(app, id, HELLO)
            assert loaded(app) == [id]


async def test_without_a_budget_nothing_is_unloaded(app: App) -> None:
    async with app.running():
        for id in ("two", "org/three", "one"):
            await ask(app, id, HELLO)
        assert loaded(app) == ["one", "two", "org/three"]


async def test_a_model_that_is_answering_is_not_unloaded(folder: Path) -> None:
    app = tight(folder, 1)
    async with app.running():
        turn = await app.service.start(question(HELLO, max_tokens=10**9))
        with pytest.raises(ModelUnavailable, match=r"'two' cannot be loaded.*answering") as caught:
            await app.catalogue.find("two")
        assert caught.value.retry_after_s > 0
        assert loaded(app) == ["one"]
        turn.cancel()
        assert [event async for event in turn.events()][-1].reason == "cancelled"
        assert (await ask(app, "two", HELLO)).text
        assert loaded(app) == ["two"]


async def test_nothing_is_unloaded_if_that_would_not_make_room(folder: Path) -> None:
    app = tight(folder, 2)
    async with app.running():
        await ask(app, "two", HELLO)
        one = await (await app.catalogue.find("one")).start(question(HELLO, max_tokens=10**9))
        two = await (await app.catalogue.find("two")).start(question(HELLO, max_tokens=10**9))
        with pytest.raises(ModelUnavailable):
            await app.catalogue.find("org/three")
        assert loaded(app) == ["one", "two"]
        one.cancel()
        two.cancel()


async def test_the_engine_of_an_unloaded_model_ends(folder: Path) -> None:
    before = set(threading.enumerate())
    app = tight(folder, 1)
    async with app.running():
        for id in ("two", "org/three", "one"):
            await ask(app, id, HELLO)
            engines = [t for t in set(threading.enumerate()) - before if t.name == "engine"]
            assert len(engines) == 1


async def test_the_memory_of_an_unloaded_model_is_free_at_once(folder: Path) -> None:
    app = tight(folder, 1)
    async with app.running():
        await ask(app, "two", HELLO)
        weights = weakref.ref(app.catalogue._runtimes["two"].model)
        gc.disable()
        try:
            await ask(app, "org/three", HELLO)
            assert weights() is None
        finally:
            gc.enable()


async def test_a_model_that_was_just_loaded_stays_for_who_asked(folder: Path, gate: Gate) -> None:
    """Another load waits for the same room, and the first answer has not begun yet."""
    app = tight(folder, 1)
    async with app.running():
        two = asyncio.create_task(ask(app, "two", HELLO))
        await gate.until_reached()
        three = asyncio.create_task(ask(app, "org/three", HELLO))
        await asyncio.sleep(0)
        gate.opened.set()
        assert (await two).text
        with pytest.raises(ModelUnavailable):
            await three


async def test_a_conversation_survives_its_models_unloading(folder: Path) -> None:
    app = tight(folder, 1)
    async with app.running():
        first = await ask(app, "two", HELLO)
        await ask(app, "one", HELLO)
        assert loaded(app) == ["one"]
        second = await ask(app, "two", HELLO, first.message, AGAIN)
    assert first.cached == 0
    assert second.cached >= first.prompt + 8 - 1


async def test_models_do_not_share_states(app: App) -> None:
    async with app.running():
        said = [await ask(app, id, HELLO) for id in ("one", "two", "one")]
    assert [answer.cached > 0 for answer in said] == [False, False, True]


async def test_a_load_that_fails_is_tried_again_when_it_is_asked_for_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = build(configured(folder_of_all(tmp_path), MODELS))
    path = tmp_path / "two.pth"
    async with app.running():
        path.rename(tmp_path / "away")
        with pytest.raises(ModelUnavailable, match=r"'two' cannot be loaded: .*two\.pth"):
            await ask(app, "two", HELLO)
        assert [record for record in caplog.records if record.levelno == logging.WARNING]
        (tmp_path / "away").rename(path)
        assert (await ask(app, "two", HELLO)).text


async def test_a_checkpoint_that_is_another_one_by_now_is_not_served(tmp_path: Path) -> None:
    app = build(configured(folder_of_all(tmp_path), MODELS))
    save(random_rwkv7(SIZES, seed=9), tmp_path / "two.pth")
    async with app.running():
        with pytest.raises(ModelUnavailable, match=r"two\.pth has changed since"):
            await ask(app, "two", HELLO)


async def test_a_load_that_breaks_tells_no_more_than_that(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **named: object) -> None:
        raise MemoryError("secret")

    monkeypatch.setattr(loader, "load", broken)
    async with app.running():
        with pytest.raises(ModelUnavailable, match=r"'two' cannot be loaded: .*log"):
            await ask(app, "two", HELLO)
    assert "secret" in caplog.text


async def test_stopping_ends_the_answers_of_all_models(app: App) -> None:
    async with app.running(), asyncio.timeout(PATIENCE_S):
        services = [await app.catalogue.find(id) for id in ("one", "two")]
        turns = [await service.start(question(HELLO, max_tokens=10**9)) for service in services]
        await app.stop(grace_s=0.1)
        for turn in turns:
            with pytest.raises(AnswerFailed, match="stopping"):
                [event async for event in turn.events()]
        assert not any(service.alive for service in services)


async def test_stopping_gives_up_a_load_under_way(app: App, gate: Gate) -> None:
    async with app.running():
        waiting = asyncio.create_task(ask(app, "two", HELLO))
        await gate.until_reached()
        await app.stop(grace_s=0)
        gate.opened.set()
        with pytest.raises(ModelUnavailable, match="stopping"):
            await waiting
        assert loaded(app) == ["one"]


async def test_one_dead_engine_makes_the_server_unhealthy(app: App) -> None:
    async with app.running():
        await ask(app, "two", HELLO)
        assert app.context.ready
        service = await app.catalogue.find("two")
        await service._engine.stop()
        assert not app.context.ready


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[models]]\npath = "{folder}/nowhere.pth"\n', ["nowhere.pth"]),
        ('[[models]]\npath = "{folder}/tokenizer.json"\n', ["tokenizer.json"]),
        ('[[models]]\npath = "{folder}/two.pth"\ntemplate = "x"\n', ["unknown template 'x'"]),
        ('[[models]]\npath = "{folder}/two.pth"\ntokenizer = "x.json"\n', ["x.json"]),
        ('[[models]]\npath = "{folder}/two.pth"\nid = "one"\n', ["2 models", "'one'"]),
        ('[[models]]\npath = "{folder}/one.pth"\n', ["2 models", "'one'"]),
        ('[[adapters]]\nname = "a"\npath = "{folder}/nowhere.pth"\n', ["nowhere.pth"]),
        (
            '[[adapters]]\nname = "a"\npath = "{folder}/mood.pth"\nmodel = "four"\n' + MODELS,
            ["adapter 'a'", "'four'", "'one', 'two', 'org/three'"],
        ),
        (
            '[[adapters]]\nname = "a"\npath = "{folder}/mood.pth"\n' * 2,
            ["2 models", "'one:a'"],
        ),
        ('[[adapters]]\nname = "a"\npath = "{folder}/poet.pth"\n', ["poet.pth", "alpha"]),
        ('[[adapters]]\nname = "a"\npath = "{folder}/one.pth"\n', ["one.pth"]),
        ('[[adapters]]\nname = "a"\npath = "{folder}/deep.pth"\n', ["deep.pth", "layers"]),
        (
            '[[adapters]]\nname = "a"\npath = "{folder}/wide.pth"\nalpha = 1\n',
            ["wide.pth does not fit the model"],
        ),
    ],
)
def test_what_could_never_be_loaded_is_refused_at_the_start(
    folder: Path, text: str, words: list[str]
) -> None:
    wider = replace(SIZES, width=128)
    save(time_states(replace(SIZES, layers=3)), folder / "deep.pth")
    save(low_ranks(random_rwkv7(wider)), folder / "wide.pth")
    with pytest.raises(StartError) as caught:
        build(configured(folder, text))
    said = str(caught.value)
    assert [word for word in words if word not in said] == []
    assert "\n" not in said


def test_a_model_larger_than_the_budget_is_refused_at_the_start(folder: Path) -> None:
    with pytest.raises(StartError, match=r"one takes .* engine\.models_bytes"):
        tight(folder, 0.9)


def test_threads_are_those_of_the_largest_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []

    def fit(backend: Backend, parameters: int) -> None:
        if backend.adapts:
            fitted.append(parameters)

    monkeypatch.setattr(Backend, "fit", fit)
    save(random_rwkv7(replace(SIZES, layers=4)), folder / "big.pth")
    text = '[[models]]\npath = "{folder}/big.pth"\n' + MODELS
    app = build(configured(folder, text, model__threads=0))
    assert fitted == [app.catalogue.offer("big").model.spec.parameters]

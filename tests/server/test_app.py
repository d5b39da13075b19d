"""The composition root: what is built from settings, how it starts and how it stops."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from models import gosling
from models.tokenizer.world import WORLD_FINGERPRINT
from server.app import App, StartError, build
from server.chat.template import G1
from server.chat.types import ChoiceEnd, Message, SamplingOptions, TurnRequest
from server.errors import AnswerFailed
from server.hub import BUNDLED
from tests.checkpoints import Sizes, random_rwkv7, save
from tests.server.tiny import checkpoint, settings

ENDLESS = TurnRequest(
    "someone",
    (Message("user", "Hi"),),
    max_tokens=10**9,
    sampling=SamplingOptions(logit_bias=((0, -100.0),)),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


def built(path: Path, **overrides: Any) -> App:
    return build(settings(path, **overrides))


def test_a_model_is_called_as_its_file(path: Path) -> None:
    assert built(path).service.model.id == "tiny"


def test_a_folder_with_one_checkpoint_is_that_checkpoint(path: Path) -> None:
    assert built(path.parent).service.model.id == path.parent.name


def test_the_configured_id_comes_first(path: Path) -> None:
    assert built(path, model__id="mine").service.model.id == "mine"


def test_the_bundled_model_lies_with_the_code() -> None:
    assert BUNDLED["gosling"] == gosling.PATH


def test_the_tokenizer_beside_the_model_is_taken(path: Path) -> None:
    tokenizer = built(path).service.model.tokenizer
    assert tokenizer.decode(tokenizer.encode("hello")) == "hello"
    assert tokenizer.vocab_size < 512


def test_a_model_of_worlds_size_alone_in_its_folder_gets_world(tmp_path: Path) -> None:
    sizes = Sizes(layers=1, width=32, head_size=32, ffn_width=32, vocab_size=65_536)
    path = save(random_rwkv7(sizes), tmp_path / "world.pth")
    assert built(path).service.model.tokenizer.fingerprint == WORLD_FINGERPRINT


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"model__path": "nowhere.pth"}, "nowhere.pth"),
        ({"model__template": "nothing"}, "unknown template 'nothing'"),
        ({"model__tokenizer": "nowhere.json"}, "nowhere.json"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_sentence(
    path: Path, overrides: dict[str, Any], said: str
) -> None:
    with pytest.raises(StartError, match=said) as error:
        built(path, **overrides)
    assert "\n" not in str(error.value)


def test_the_template_goes_by_the_model_or_the_settings(path: Path) -> None:
    assert built(path).service.model.template is G1
    assert built(path, model__template="world").service.model.template.name == "world"


def test_a_template_file_is_read(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ messages[0].content }}:")
    assert built(path, model__template=str(file)).service.model.template.name == "mine.jinja"
    file.write_text("{{")
    with pytest.raises(StartError, match="not valid Jinja"):
        built(path, model__template=str(file))


def test_states_with_and_without_thoughts_do_not_mix(path: Path) -> None:
    models = [built(path, model__keep_thinking=keep).service.model for keep in (True, False)]
    assert [model.keep_thinking for model in models] == [True, False]
    assert models[0].fingerprint != models[1].fingerprint


def test_progress_runs_from_nothing_to_all(path: Path) -> None:
    reports: list[tuple[int, int]] = []
    build(settings(path), lambda done, total: reports.append((done, total)))
    assert reports[0][0] == 0
    assert reports[-1][0] == reports[-1][1] > 0
    assert reports == sorted(reports)


def test_padding_ids_are_never_sampled(path: Path) -> None:
    """The model's logits have more rows than its tokenizer has tokens."""
    app = built(path)
    first = app.service.model.tokenizer.vocab_size
    padding = ((first, 100.0), (511, 100.0))
    request = TurnRequest(
        "someone",
        (Message("user", "Hi"),),
        max_tokens=20,
        sampling=SamplingOptions(temperature=0, logit_bias=((0, -100.0), *padding)),
    )

    async def text() -> str:
        async with app.running():
            events = [event async for event in (await app.service.start(request)).events()]
        return "".join(event.text for event in events if not isinstance(event, ChoiceEnd))

    assert asyncio.run(text())


def test_the_service_lives_as_long_as_the_block(path: Path) -> None:
    app = built(path)

    async def lives() -> tuple[bool, bool, bool]:
        before = app.context.ready
        async with app.running():
            during = app.context.ready
        return before, during, app.context.ready

    assert asyncio.run(lives()) == (False, True, False)


async def test_what_routes_need_is_there_before_the_first_request(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = build(settings(path)).api()
    made: list[object] = []
    make = TypeAdapter.__init__

    def watched(adapter: TypeAdapter[Any], type: Any, **options: Any) -> None:
        made.append(type)
        make(adapter, type, **options)

    monkeypatch.setattr(TypeAdapter, "__init__", watched)
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for route in ("/v1/models", "/nowhere"):
            await client.get(route)
    assert made == []


async def test_an_answer_under_way_ends_in_an_error_when_the_grace_is_over(path: Path) -> None:
    app = built(path)
    async with app.running():
        turn = await app.service.start(ENDLESS)
        stopping = asyncio.create_task(app.stop(grace_s=0.1))
        with pytest.raises(AnswerFailed, match="stopping"):
            [event async for event in turn.events()]
        await stopping


async def test_stopping_waits_for_answers_that_end_by_themselves(path: Path) -> None:
    app = built(path)
    short = TurnRequest("someone", (Message("user", "Hi"),), max_tokens=5)
    async with app.running():
        turn = await app.service.start(short)
        async with asyncio.timeout(20):
            await app.stop(grace_s=30)
        assert isinstance([event async for event in turn.events()][-1], ChoiceEnd)


async def test_stopping_twice_is_stopping_once(path: Path) -> None:
    app = built(path)
    async with app.running(), asyncio.timeout(5):
        await app.stop(grace_s=0)
        await app.stop(grace_s=0)

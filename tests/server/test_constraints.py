"""Constrained answers of the bundled model and of a tiny World model, and through the real SDK."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator
from openai import APIError, BadRequestError, LengthFinishReasonError, OpenAI
from pydantic import BaseModel

from server.app import App, build
from server.chat.completion import CompletionRequest
from server.chat.types import (
    ChoiceEnd,
    Constraint,
    ConstraintKind,
    Message,
    SamplingOptions,
    TextDelta,
    TurnRequest,
)
from server.config import load
from server.errors import InvalidRequest
from tests.checkpoints import Sizes, random_rwkv7, save
from tests.server.chat.constraint.schemas import Schema, root_schema
from tests.server.tiny import serving, settings

SCHEMAS = range(300)
TEMPERATURES = (0.0, 1.0, 2.0)
SLOTS = 48
WORLD = Sizes(layers=1, width=32, head_size=32, ffn_width=32, vocab_size=65_536)
ASKED = (Message("user", "Tell me of a cat."),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("constraints")


@pytest.fixture
async def bundled(folder: Path) -> AsyncIterator[App]:
    limits = {"engine.max_slots": SLOTS, "engine.max_queue": SLOTS}
    app = build(load(directory=folder, overrides={"model.threads": 1} | limits))
    async with app.running():
        yield app


class Answer(BaseModel):
    text: str
    reason: str
    tokens: int


async def answer(app: App, constraint: Constraint, **options: Any) -> Answer:
    asked = TurnRequest("ann", ASKED, constraint=constraint, **{"max_tokens": 60, **options})
    turn = await app.service.start(asked)
    return await read(turn.events())


async def read(events: AsyncIterator[Any]) -> Answer:
    text = ""
    async for event in events:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, ChoiceEnd):
            return Answer(text=text, reason=event.reason, tokens=event.tokens)
    raise AssertionError("it has no end")


def constraint(kind: ConstraintKind, source: Any) -> Constraint:
    return Constraint(kind, source if isinstance(source, str) else json.dumps(source), "it")


def sampling(temperature: float, seed: int = 1) -> SamplingOptions:
    return SamplingOptions(temperature=temperature, top_p=1.0, top_k=0, seed=seed)


async def test_every_finished_answer_validates_at_any_temperature(bundled: App) -> None:
    """Or its schema was refused by name."""
    room = asyncio.Semaphore(SLOTS)
    counts = {"stop": 0, "length": 0}
    named: list[str] = []

    async def ask(schema: Schema, temperature: float, seed: int) -> None:
        asked = constraint("json_schema", schema)
        try:
            async with room:
                got = await answer(bundled, asked, sampling=sampling(temperature, seed))
        except InvalidRequest as refused:
            named.append(refused.param or "")
            return
        counts[got.reason] += 1
        if got.reason == "stop":
            value = json.loads(got.text)
            judge = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
            judge.validate(value)
        else:
            assert got.tokens == 60

    schemas = [(root_schema(seed), seed) for seed in SCHEMAS]
    await asyncio.gather(*(ask(s, t, seed) for s, seed in schemas for t in TEMPERATURES))
    asked = len(SCHEMAS) * len(TEMPERATURES)
    assert len(named) < 0.12 * asked
    assert all(param.startswith("it") for param in named)
    assert counts["stop"] > 0.6 * asked


@pytest.mark.parametrize(
    ("kind", "source", "pattern"),
    [
        ("regex", r"[a-z]{2,6} (cat|dog)s?\.", r"[a-z]{2,6} (cat|dog)s?\."),
        ("choice", ["yes", "no", "maybe so"], "yes|no|maybe so"),
        ("lark", 'start: "<" /[0-9]{2}/ (";" /[0-9]{2}/)? ">"', r"<\d\d(;\d\d)?>"),
    ],
)
async def test_other_forms_are_kept_at_any_temperature(
    bundled: App, kind: ConstraintKind, source: Any, pattern: str
) -> None:
    for temperature in TEMPERATURES:
        got = await answer(bundled, constraint(kind, source), sampling=sampling(temperature))
        assert got.reason == "stop"
        assert re.fullmatch(pattern, got.text)


async def test_the_last_token_of_a_complete_answer_is_its_end(bundled: App) -> None:
    got = await answer(bundled, constraint("choice", ["x"]), sampling=sampling(2))
    assert (got.text, got.reason) == ("x", "stop")
    assert got.tokens <= 2  # a space and the letter


async def test_a_grammar_may_be_longer_than_the_answer(bundled: App) -> None:
    got = await answer(bundled, constraint("regex", "[ab]{100}"), max_tokens=7)
    assert (got.reason, got.tokens) == ("length", 7)
    assert re.fullmatch("[ab]+", got.text)


async def test_the_stop_strings_of_the_template_give_way(bundled: App) -> None:
    text = "a\n\nUser: b"
    assert (await answer(bundled, constraint("choice", [text]))).text == text


async def test_a_follow_up_to_a_constrained_answer_is_read_from_its_state(bundled: App) -> None:
    got = await answer(bundled, constraint("choice", ["a black one"]))
    talk = (*ASKED, Message("assistant", got.text), Message("user", "And?"))
    turn = await bundled.service.start(TurnRequest("ann", talk, max_tokens=1))
    await read(turn.events())
    assert turn.cached_tokens > turn.prompt_tokens / 2


async def test_an_answer_that_is_cut_within_its_thoughts_has_no_content(bundled: App) -> None:
    got = await answer(bundled, constraint("choice", ["x"]), thinking="low", max_tokens=5)
    assert (got.text, got.reason) == ("", "length")


async def test_a_raw_completion_is_the_form_and_nothing_before_it(bundled: App) -> None:
    asked = CompletionRequest("ann", ("2 + 2 =",), constraint=constraint("regex", " [0-9] apples?"))
    completion = await bundled.service.completions.start(asked)
    got = await read(completion.events())
    assert re.fullmatch(" [0-9] apples?", got.text)
    assert got.reason == "stop"


async def test_a_schema_that_is_broken_stops_nobody_else(bundled: App) -> None:
    good, bad = constraint("choice", ["x"]), constraint("lark", 'start: e\ne: e e | "a" | ')
    results = await asyncio.gather(
        *(answer(bundled, asked, max_tokens=40) for asked in (good, bad, good)),
        return_exceptions=True,
    )
    assert [r.text for r in results if isinstance(r, Answer)][::2] == ["x", "x"]


@pytest.fixture(scope="module")
def world(folder: Path) -> Path:
    return save(random_rwkv7(WORLD), folder / "world.pth")


@pytest.fixture(scope="module")
def client(world: Path) -> Iterator[OpenAI]:
    with serving(settings(world)) as (url, _), OpenAI(base_url=f"{url}/v1", api_key="x") as client:
        yield client


class Toy(BaseModel):
    name: Literal["ball", "kite"]
    tags: list[Literal["red", "blue"]]
    owner: "Owner | None"


class Owner(BaseModel):
    age: int
    wise: bool


HELLO: Any = {"model": "world", "messages": [{"role": "user", "content": "Hello"}], "seed": 1}


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_parse_gives_a_model(client: OpenAI, temperature: float) -> None:
    def parsed(seed: int) -> Toy | None:
        """None for an answer that was cut."""
        asked = HELLO | {"seed": seed, "temperature": temperature, "max_tokens": 200}
        try:
            got = client.chat.completions.parse(response_format=Toy, **asked)
        except LengthFinishReasonError:
            return None
        return got.choices[0].message.parsed

    toys = [parsed(seed) for seed in range(4)]
    assert any(isinstance(toy, Toy) for toy in toys)


def test_a_stream_is_the_whole_answer_in_pieces(client: OpenAI) -> None:
    schema = {"type": "array", "items": {"enum": ["a", "日本", 3]}, "minItems": 3, "maxItems": 3}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "list", "schema": schema}}
    whole = client.chat.completions.create(response_format=wanted, **HELLO)
    stream = client.chat.completions.create(response_format=wanted, stream=True, **HELLO)
    chunks = [chunk.choices[0] for chunk in stream]
    text = "".join(chunk.delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert len(json.loads(text)) == 3
    assert chunks[-1].finish_reason == whole.choices[0].finish_reason == "stop"


def test_choices_of_one_prompt_are_constrained_each(client: OpenAI) -> None:
    wanted: Any = {"structured_outputs": {"regex": "(ab|cd){1,3}e"}}
    got = client.chat.completions.create(extra_body=wanted, n=4, temperature=2, **HELLO)
    texts = [choice.message.content or "" for choice in got.choices]
    assert all(re.fullmatch("(ab|cd){1,3}e", text) for text in texts)
    assert len(set(texts)) > 1


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"guided_choice": ["left", "right"]}, "left|right"),
        ({"guided_regex": "[0-9]{3}"}, "[0-9]{3}"),
        ({"grammar": 'root ::= "a" [0-9] "b"'}, r"a\db"),
        ({"guided_grammar": 'start: "a" /[0-9]/ "b"'}, r"a\db"),
        ({"json_schema": {"type": "integer", "minimum": 10, "maximum": 99}}, r"\d\d"),
        ({"guided_json": '{"type": "boolean"}'}, "true|false"),
        ({"structured_outputs": {"choice": ["x", "y"]}}, "x|y"),
        ({"response_format": {"type": "json_object", "schema": {"const": {}}}}, r"\{\}"),
    ],
)
def test_other_servers_fields_work_in_both_interfaces(
    client: OpenAI, fields: Any, pattern: str
) -> None:
    chat = client.chat.completions.create(extra_body=fields, temperature=2, **HELLO)
    raw = client.completions.create(
        model="world", prompt="Hello", extra_body=fields, temperature=2, max_tokens=20
    )
    for text in (chat.choices[0].message.content, raw.choices[0].text):
        assert re.fullmatch(pattern, text or "")


def test_likelihoods_are_of_the_models_own_choice(client: OpenAI) -> None:
    """A random model finds nothing likely, and least of all what it is made to write."""
    wanted: Any = {"structured_outputs": {"choice": ["abcdef"]}}
    got = client.chat.completions.create(
        extra_body=wanted, logprobs=True, top_logprobs=2, temperature=0, **HELLO
    )
    logprobs = got.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert b"".join(bytes(t.bytes or []) for t in logprobs.content) == b"abcdef"
    assert all(token.logprob < -1 for token in logprobs.content)


def test_a_refused_schema_is_a_400_that_names_the_place(client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(response_format=wanted, **HELLO)
    assert refused.value.param == ("response_format.json_schema.schema.properties.a.uniqueItems")
    assert refused.value.code == "unsupported_parameter"


ENDLESS = 'start: "a" start'


@pytest.mark.parametrize("fields", [{"guided_grammar": ENDLESS}, {"grammar": 'root ::= "a" root'}])
def test_a_form_that_only_shows_on_the_way_to_be_none_is_a_400(client: OpenAI, fields: Any) -> None:
    (field,) = fields
    with pytest.raises(BadRequestError) as chat:
        client.chat.completions.create(extra_body=fields, **HELLO)
    with pytest.raises(BadRequestError) as raw:
        client.completions.create(model="world", prompt="Hello", extra_body=fields)
    for refused in (chat.value, raw.value):
        assert (refused.param, refused.code) == (field, "unsupported_parameter")


def test_a_stream_tells_of_a_form_that_is_none_as_of_a_callers_mistake(client: OpenAI) -> None:
    asked = HELLO | {"extra_body": {"guided_grammar": ENDLESS}, "stream": True}
    with pytest.raises(APIError) as refused:
        for _ in client.chat.completions.create(**asked):
            pass
    assert (refused.value.type, refused.value.param) == ("invalid_request_error", "guided_grammar")

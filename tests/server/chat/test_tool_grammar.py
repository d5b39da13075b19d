"""Calls of a model that knows nothing are valid all the same, at any temperature."""

import json
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
import torch
from torch import Tensor

from models.base import State
from server.chat.template import ALPACA, G1, RAVEN, WORLD, HeadedTemplate
from server.chat.types import (
    Constraint,
    Message,
    SamplingOptions,
    Tool,
    ToolChoice,
)
from server.errors import InvalidRequest
from tests.doubles import CountingModel, WritingModel
from tests.server.chat.talking import Answer, Server, serving, user

ASKED = user("Go")
REQUIRED = ToolChoice("required")
UNIT = {"enum": ["celsius", "kelvin"]}
BOOKING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 8},
        "nights": {"type": "integer", "minimum": 1, "maximum": 30},
        "unit": {"$ref": "#/$defs/Unit"},
        "guests": {
            "type": "array",
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 4}},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
        "price": {"anyOf": [{"type": "number", "minimum": 0, "maximum": 9}, {"type": "null"}]},
    },
    "required": ["city", "unit", "guests", "price"],
    "$defs": {"Unit": UNIT},
}
TOOLS = (Tool("book", "Book it", BOOKING), Tool("stop"))
SCHEMAS = {"book": {**BOOKING, "additionalProperties": False}, "stop": {"maxProperties": 0}}
LONG: dict[str, Any] = {"max_tokens": 3_000}


class IgnorantModel(CountingModel):
    """All bytes are alike to it."""

    def __init__(self) -> None:
        super().__init__(vocab_size=257)

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        return torch.zeros_like(super().forward(tokens, lengths, state, every=every))


def seeded(seed: int) -> SamplingOptions:
    return SamplingOptions(temperature=2.0, top_p=1.0, top_k=0, seed=seed)


async def ask(server: Server, *messages: Message, seed: int = 1, **options: Any) -> Answer:
    return await server.ask(*messages, sampling=seeded(seed), **LONG, **options)


def check(answer: Answer) -> None:
    assert answer.calls
    assert answer.reason == "tool_calls"
    assert answer.text == ""
    for call in answer.calls:
        jsonschema.validate(json.loads(call.arguments), SCHEMAS[call.name])


@pytest.mark.parametrize("template", [G1, WORLD, RAVEN, ALPACA])
async def test_a_required_call_is_valid(template: HeadedTemplate) -> None:
    async with serving(model=IgnorantModel(), template=template) as server:
        answers = [
            await ask(server, ASKED, seed=seed, tools=TOOLS, tool_choice=REQUIRED)
            for seed in range(6)
        ]
    for answer in answers:
        check(answer)
    assert {call.name for answer in answers for call in answer.calls} == {"book", "stop"}


async def test_a_named_tool_is_the_one_that_is_called() -> None:
    async with serving(model=IgnorantModel()) as server:
        for seed, name in enumerate(("book", "stop", "book", "stop")):
            choice = ToolChoice("required", (name,))
            answer = await ask(server, ASKED, seed=seed, tools=TOOLS, tool_choice=choice)
            check(answer)
            assert {call.name for call in answer.calls} == {name}


async def test_a_single_call_is_one() -> None:
    async with serving(model=IgnorantModel()) as server:
        for seed in range(4):
            options = {"tool_choice": REQUIRED, "parallel_tool_calls": False}
            answer = await ask(server, ASKED, seed=seed, tools=TOOLS, **options)
            check(answer)
            assert len(answer.calls) == 1


async def test_a_required_call_follows_a_thought_that_was_asked_for() -> None:
    model = WritingModel(" <think>Hm.</think>Well, no.", mark="Assistant:")
    async with serving(model=model) as server:
        options = {"tools": TOOLS[1:], "tool_choice": REQUIRED, "thinking": "on"}
        answer = await server.ask(ASKED, **options, **LONG)
        assert answer.thought == "Hm."
        assert [call.name for call in answer.calls[:1]] == ["stop"]
        assert answer.text == ""


@pytest.mark.parametrize("prose", ["", "Let me see.\n\n", "A { and `json`. "])
async def test_a_call_that_was_begun_is_held_to_its_form(prose: str) -> None:
    script = f' {prose}```json\n{{"name": "cancel", "arguments": {{"a": b}}}} and so on'
    async with serving(model=WritingModel(script, mark="Assistant:")) as server:
        answer = await server.ask(ASKED, tools=TOOLS[1:], **LONG)
        assert answer.text.startswith(prose.strip())
        assert [(call.name, call.arguments) for call in answer.calls] == [("stop", "{}")]


@pytest.mark.parametrize(
    "text",
    [
        "Hello.",
        '```json\n{"age": 3}\n```',
        '```json\n{\n  "name": "my-app"\n}\n```',
        '{"name": "stop", "arguments": 1}',
        "```json is a mark",
    ],
)
async def test_text_that_begins_no_call_is_free(text: str) -> None:
    async with serving(model=WritingModel(f" {text}", mark="Assistant:")) as server:
        answer = await server.ask(ASKED, tools=TOOLS, **LONG)
        assert (answer.text, answer.calls, answer.reason) == (text, [], "stop")


async def test_the_next_turn_of_the_user_ends_an_answer_beside_tools() -> None:
    call = '```json\n{"name": "stop", "arguments": {}}\n```'
    for script, options in (
        (" Hi.", {}),
        (f" {call}", {}),
        (f" {call}", {"tool_choice": REQUIRED}),
    ):
        model = WritingModel(script + "\n\nUser: Well", mark="Assistant:")
        async with serving(model=model) as server:
            answer = await server.ask(ASKED, tools=TOOLS, **options, **LONG)
            assert answer.text == ("" if call in script else "Hi.")
            assert len(answer.calls) == (call in script)
            assert answer.tokens < 70


async def test_what_is_no_call_is_what_the_request_says() -> None:
    schema = {"type": "object", "properties": {"a": UNIT}, "required": ["a"]}
    wanted = Constraint("json_schema", json.dumps(schema), "response_format")
    async with serving(model=IgnorantModel()) as server:
        said = called = 0
        for seed in range(8):
            answer = await ask(server, ASKED, seed=seed, tools=TOOLS, constraint=wanted)
            if answer.calls:
                check(answer)
                called += 1
            else:
                jsonschema.validate(json.loads(answer.text), schema)
                said += 1
        assert said
        assert called


UNENFORCEABLE: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "array", "uniqueItems": True}},
}

UNFIT: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 5, "maximum": 3}},
    "required": ["a"],
}


async def test_a_strict_schema_that_cannot_be_enforced_is_refused_by_name() -> None:
    param = "tools.0.function.parameters"
    tool = Tool("f", parameters=UNENFORCEABLE, strict=True, param=param)
    async with serving() as server:
        with pytest.raises(InvalidRequest) as refused:
            await server.ask(ASKED, tools=(tool,))
    assert (refused.value.code, str(refused.value.param).startswith(param)) == (
        "unsupported_parameter",
        True,
    )


async def test_a_strict_schema_that_nothing_fits_is_refused_by_its_keyword() -> None:
    tool = Tool("f", parameters=UNFIT, strict=True, param="tools.0.function.parameters")
    async with serving() as server:
        with pytest.raises(InvalidRequest) as refused:
            await server.ask(ASKED, tools=(tool,))
    assert refused.value.param == "tools.0.function.parameters.properties.a.minimum"


@pytest.mark.parametrize("parameters", [UNENFORCEABLE, UNFIT])
async def test_any_object_passes_where_a_schema_cannot_be_enforced(
    parameters: dict[str, Any],
) -> None:
    tools = (Tool("f", parameters=parameters),)
    async with serving(model=IgnorantModel()) as server:
        answer = await ask(server, ASKED, tools=tools, tool_choice=REQUIRED)
        assert isinstance(json.loads(answer.calls[0].arguments), dict)


async def test_a_schema_that_is_none_is_refused_strict_or_not() -> None:
    tool = Tool("f", parameters={"type": "object", "properties": {"a": {"type": 5}}})
    async with serving() as server:
        with pytest.raises(InvalidRequest) as refused:
            await server.ask(ASKED, tools=(tool,))
    assert refused.value.code == "invalid_value"


async def test_keys_that_the_schema_leaves_unsaid_come_only_if_it_says_so() -> None:
    for extra, keys in ((None, False), (True, True)):
        more = {} if extra is None else {"additionalProperties": {"type": "null"}}
        parameters = {"type": "object", "properties": {"a": {"type": "null"}}, **more}
        async with serving(model=IgnorantModel()) as server:
            found = set()
            for seed in range(6):
                answer = await ask(
                    server,
                    ASKED,
                    seed=seed,
                    tools=(Tool("f", parameters=parameters),),
                    tool_choice=REQUIRED,
                )
                found |= {key for call in answer.calls for key in json.loads(call.arguments)}
        assert bool(found - {"a"}) is keys

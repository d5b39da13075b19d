"""The bundled model calls tools, through the OpenAI SDK and a real server."""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.lib.streaming.chat import FunctionToolCallArgumentsDoneEvent
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionMessageCustomToolCall,
    ChatCompletionMessageFunctionToolCall,
)
from pydantic import BaseModel

from models import gosling
from models import tokenizer as tokenizers
from tests.serving import server

Messages = list[Any]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server("--model", "gosling", "--device", "cpu") as url:
        yield url + "/v1"


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def function(name: str, about: str, **arguments: str) -> dict[str, Any]:
    """A tool; a type with a question mark is of an argument that may be left out."""
    properties = {key: {"type": kind.rstrip("?")} for key, kind in arguments.items()}
    required = [key for key, kind in arguments.items() if not kind.endswith("?")]
    schema = {"type": "object", "properties": properties, "required": required}
    return {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": schema},
    }


TOOLS: Any = [
    function("get_weather", "Get the weather in a town", city="string", unit="string?"),
    function("send_email", "Send an email", to="string", subject="string"),
    function("set_timer", "Set a timer in minutes", minutes="integer"),
    function("find_train", "Find a train", origin="string", destination="string"),
    function("order_food", "Order food", dish="string", quantity="integer"),
]
QUESTIONS = [
    ("What is the weather in Lisbon?", "get_weather", {"city": "Lisbon"}),
    ("Set a timer for 12 minutes.", "set_timer", {"minutes": 12}),
    ("Send an email to Bruno about the old bridge.", "send_email", {"to": "Bruno"}),
    ("Find a train from Oslo to Rome.", "find_train", {"origin": "Oslo", "destination": "Rome"}),
    ("How is the weather in Nairobi?", "get_weather", {"city": "Nairobi"}),
]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def result(id: str, value: Any) -> dict[str, str]:
    return {"role": "tool", "tool_call_id": id, "content": json.dumps(value)}


def ask(client: OpenAI, messages: Messages, **options: Any) -> ChatCompletion:
    arguments = {"model": "gosling", "tools": TOOLS, "temperature": 0, **options}
    return client.chat.completions.create(messages=messages, **arguments)


def calls(answer: ChatCompletion) -> list[ChatCompletionMessageFunctionToolCall]:
    found = answer.choices[0].message.tool_calls or []
    assert all(isinstance(call, ChatCompletionMessageFunctionToolCall) for call in found)
    return found


@pytest.mark.parametrize(("text", "name", "arguments"), QUESTIONS)
def test_the_right_tool_is_called_with_the_right_arguments(
    client: OpenAI, text: str, name: str, arguments: dict[str, Any]
) -> None:
    answer = ask(client, [user(text)])
    (call,) = calls(answer)
    assert call.function.name == name
    assert json.loads(call.function.arguments).items() >= arguments.items()
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None


@pytest.mark.parametrize(
    ("text", "said"),
    [("Who wrote Hamlet?", "demo model"), ("What is 3 + 4?", "7"), ("Please spell cat.", "c-a-t")],
)
def test_what_needs_no_tool_calls_none(client: OpenAI, text: str, said: str) -> None:
    answer = ask(client, [user(text)])
    assert calls(answer) == []
    assert said in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"


def test_a_result_is_told_in_words(client: OpenAI) -> None:
    messages: Messages = [user("What is the weather in Lisbon?")]
    for text, values, words in (
        (None, {"temperature": 21, "condition": "sunny"}, ("21", "sunny")),
        ("And in Oslo?", {"temperature": -3, "condition": "snow"}, ("-3", "snow")),
    ):
        messages += [user(text)] if text else []
        answer = ask(client, messages)
        (call,) = calls(answer)
        assert call.function.name == "get_weather"
        messages += [answer.choices[0].message, result(call.id, values)]
        told = ask(client, messages).choices[0].message
        assert all(word in (told.content or "") for word in words)
        messages.append(told)


def uncached(answer: ChatCompletion) -> int:
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    return answer.usage.prompt_tokens - (answer.usage.prompt_tokens_details.cached_tokens or 0)


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_result_costs_its_own_words_only(client: OpenAI, rewritten: bool) -> None:
    tokenizer = tokenizers.load(gosling.PATH, 1_000_000)
    asked = user(f"What is the weather in {'Quito' if rewritten else 'Lima'}?")
    first = ask(client, [asked])
    (call,) = calls(first)
    made: Any = first.choices[0].message
    if rewritten:  # as clients do that keep calls in a form of their own
        arguments = json.dumps(json.loads(call.function.arguments), separators=(",", ":"))
        named = {"name": call.function.name, "arguments": arguments}
        remade = {"id": "mine", "type": "function", "function": named}
        made = {"role": "assistant", "content": "", "tool_calls": [remade]}
    id = "mine" if rewritten else call.id
    second = ask(client, [asked, made, result(id, {"temperature": 9})])
    told = tokenizer.encode('\n\nUser: Function output:\n{"temperature": 9}')
    assert uncached(second) == len(told) + len(tokenizer.encode("\n\nAssistant:"))


@pytest.mark.parametrize("text", [question[0] for question in QUESTIONS] + ["Who wrote Hamlet?"])
@pytest.mark.parametrize("temperature", [0, 2])
def test_a_required_call_always_comes_and_is_valid(
    client: OpenAI, text: str, temperature: int
) -> None:
    options: Any = {"temperature": temperature, "top_p": 1, "seed": 1, "max_tokens": 400}
    answer = ask(client, [user(text)], tool_choice="required", **options)
    schemas = {one["function"]["name"]: one["function"]["parameters"] for one in TOOLS}
    assert calls(answer)
    if answer.choices[0].finish_reason == "tool_calls":
        for call in calls(answer):
            jsonschema.validate(json.loads(call.function.arguments), schemas[call.function.name])
    else:
        assert answer.choices[0].finish_reason == "length"


def test_a_named_tool_is_called_and_no_other(client: OpenAI) -> None:
    for name in ("set_timer", "order_food"):
        choice = {"type": "function", "function": {"name": name}}
        (call,) = calls(ask(client, [user("Hello!")], tool_choice=choice))
        assert call.function.name == name


def test_with_none_the_model_answers_in_words(client: OpenAI) -> None:
    answer = ask(client, [user("What is the weather in Lisbon?")], tool_choice="none")
    assert calls(answer) == []
    assert "```" not in (answer.choices[0].message.content or "```")


def test_only_allowed_tools_are_called(client: OpenAI) -> None:
    allowed = [{"type": "function", "function": {"name": "set_timer"}}]
    for mode in ("auto", "required"):
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
        answer = ask(client, [user("What is the weather in Lisbon?")], tool_choice=choice)
        assert {call.function.name for call in calls(answer)} == {"set_timer"}


def test_a_stream_says_what_a_whole_answer_says(client: OpenAI) -> None:
    messages = [user("Find a train from Oslo to Bergen.")]
    whole = calls(ask(client, messages))
    with client.chat.completions.stream(
        model="gosling", messages=messages, tools=TOOLS, temperature=0, n=2
    ) as stream:
        done = [e for e in stream if isinstance(e, FunctionToolCallArgumentsDoneEvent)]
        final = stream.get_final_completion()
    for choice in final.choices:
        assert choice.finish_reason == "tool_calls"
        made = choice.message.tool_calls or []
        assert [(c.function.name, c.function.arguments) for c in made] == [
            (c.function.name, c.function.arguments) for c in whole
        ]
    assert {event.name for event in done} == {"find_train"}


RECIPE = """
start: line+
line: VERB " " NUMBER " \\"" THING "\\"\\n"
VERB: "add" | "stir"
NUMBER: /[1-9]/
THING: /[a-z]{1,8}/
"""
CUSTOM: Any = {
    "type": "custom",
    "custom": {
        "name": "cook",
        "description": "Cook by a recipe",
        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": RECIPE}},
    },
}
COOKED = re.compile(r'((add|stir) [1-9] "[a-z]{1,8}"\n)+')


def test_a_custom_tool_is_called_with_a_text_of_its_grammar(client: OpenAI) -> None:
    choice = {"type": "custom", "custom": {"name": "cook"}}
    messages: Messages = [user("Please cook soup.")]
    options: Any = {"tools": [*TOOLS, CUSTOM], "temperature": 1, "seed": 4, "max_tokens": 200}
    answer = ask(client, messages, tool_choice=choice, parallel_tool_calls=False, **options)
    assert answer.choices[0].finish_reason == "tool_calls"
    (call,) = answer.choices[0].message.tool_calls or []
    assert isinstance(call, ChatCompletionMessageCustomToolCall)
    assert call.custom.name == "cook"
    assert COOKED.fullmatch(call.custom.input)
    messages += [answer.choices[0].message, result(call.id, "done")]
    told = ask(client, messages, **options)
    assert uncached(told) < 40


class get_weather(BaseModel):
    """Get the weather in a town"""

    city: str


class set_timer(BaseModel):
    """Set a timer in minutes"""

    minutes: int
    sound: Literal["bell", "horn"] | None


def test_functions_of_pydantic_are_parsed(client: OpenAI) -> None:
    tools = [openai.pydantic_function_tool(get_weather), openai.pydantic_function_tool(set_timer)]
    for text, wanted in (
        ("What is the weather in Lisbon?", get_weather(city="Lisbon")),
        ("Set a timer for 12 minutes.", set_timer),
    ):
        parsed = client.chat.completions.parse(
            model="gosling", messages=[user(text)], tools=tools, temperature=0
        )
        ((call,),) = [choice.message.tool_calls or [] for choice in parsed.choices]
        found = call.function.parsed_arguments
        assert found == wanted if isinstance(wanted, get_weather) else isinstance(found, set_timer)


async def test_the_asynchronous_client_gets_the_same(url: str) -> None:
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="gosling",
            messages=[user("Set a timer for 9 minutes.")],
            tools=TOOLS,
            temperature=0,
            stream=True,
        )
        text = ""
        async for chunk in stream:
            for call in chunk.choices[0].delta.tool_calls or []:
                assert call.index == 0
                text += (call.function and call.function.arguments) or ""
    assert json.loads(text) == {"minutes": 9}


def test_functions_of_the_older_form_are_called(client: OpenAI) -> None:
    functions: Any = [tool["function"] for tool in TOOLS]
    messages: Messages = [user("What is the weather in Lisbon?")]
    answer = client.chat.completions.create(
        model="gosling", messages=messages, functions=functions, temperature=0
    )
    made = answer.choices[0].message
    assert answer.choices[0].finish_reason == "function_call"
    assert made.function_call is not None
    assert json.loads(made.function_call.arguments) == {"city": "Lisbon"}
    messages += [made, {"role": "function", "name": "get_weather", "content": '{"degrees": 21}'}]
    told = client.chat.completions.create(
        model="gosling", messages=messages, functions=functions, temperature=0
    )
    assert "21" in (told.choices[0].message.content or "")

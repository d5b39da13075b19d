"""Long conversations with the bundled model, through the OpenAI SDK and a real server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import OpenAI
from openai.types import CompletionUsage

from models import gosling
from models import tokenizer as tokenizers
from tests.serving import server

Messages = list[dict[str, str]]
NAMES = ["Orla", "Bruno", "Chen", "Dara", "Emeka", "Freya", "Goran", "Hana"]


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    with server("--model", "gosling", "--device", "cpu") as url:
        yield OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.load(gosling.PATH, 1_000_000)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def ask(
    client: OpenAI, messages: Messages, *, stream: bool = False, **options: Any
) -> tuple[str, CompletionUsage]:
    arguments: Any = {"model": "gosling", "messages": messages, "temperature": 0, **options}
    if not stream:
        answer = client.chat.completions.create(**arguments)
        return answer.choices[0].message.content, answer.usage
    text, usage = "", None
    for chunk in client.chat.completions.create(
        **arguments, stream=True, stream_options={"include_usage": True}
    ):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    assert usage is not None
    return text, usage


def uncached(usage: CompletionUsage) -> int:
    assert usage.prompt_tokens_details is not None
    return usage.prompt_tokens - (usage.prompt_tokens_details.cached_tokens or 0)


def own_cost(tokenizer, text: str) -> int:
    """Tokens of a follow-up's message and of the headers around it."""
    return len(tokenizer.encode(f"\n\nUser: {text}")) + len(tokenizer.encode("\n\nAssistant:"))


@pytest.mark.parametrize("stream", [False, True])
def test_every_one_of_fifty_turns_costs_its_own_words_only(client, tokenizer, stream) -> None:
    messages: Messages = []
    for turn in range(1, 51):
        text = fifty_turns(turn, NAMES[stream])
        messages.append(user(text))
        answer, usage = ask(client, messages, stream=stream, max_tokens=32)
        assert turn == 1 or uncached(usage) == own_cost(tokenizer, text)
        messages.append({"role": "assistant", "content": answer})
    assert NAMES[stream] in answer


def fifty_turns(turn: int, name: str) -> str:
    """A fact in the first turn, sums in between, and the fact asked back at the end."""
    if turn == 1:
        return f"Hello! My name is {name}."
    return "What is my name?" if turn == 50 else f"What is {turn} + {turn % 7 + 1}?"


def two_turns(client: OpenAI, name: str) -> Messages:
    """A conversation that has been answered twice and asks a third time."""
    messages: Messages = []
    for text in (f"My name is {name}.", "What is 3 + 4?"):
        messages.append(user(text))
        answer, _ = ask(client, messages)
        messages.append({"role": "assistant", "content": answer})
    return [*messages, user("What is my name?")]


def test_regenerating_computes_no_prompt_token(client) -> None:
    messages = two_turns(client, "Chen")
    first, _ = ask(client, messages)
    again, usage = ask(client, messages)
    assert (again, uncached(usage)) == (first, 0)


def test_an_edited_last_message_costs_its_own_words_only(client, tokenizer) -> None:
    messages = two_turns(client, "Dara")
    ask(client, messages)
    _, usage = ask(client, [*messages[:-1], user("Please spell my name.")])
    assert uncached(usage) == own_cost(tokenizer, "Please spell my name.")


def test_two_branches_both_continue_from_where_they_part(client, tokenizer) -> None:
    trunk = two_turns(client, "Emeka")
    branches = []
    for text in ("My dog is called Bello.", "My cat is called Mina."):
        messages = [*trunk[:-1], user(text)]
        answer, _ = ask(client, messages)
        branches.append([*messages, {"role": "assistant", "content": answer}])
    for branch, pet in zip(branches, ("dog", "cat"), strict=True):
        text = f"What is my {pet} called?"
        _, usage = ask(client, [*branch, user(text)])
        assert uncached(usage) == own_cost(tokenizer, text)


def test_an_answer_cut_by_length_is_continued_from_its_state(client, tokenizer) -> None:
    messages = [user("Count from 1 to 20.")]
    answer, _ = ask(client, messages, max_tokens=5)
    messages += [{"role": "assistant", "content": answer}, user("Thank you.")]
    _, usage = ask(client, messages)
    assert uncached(usage) == own_cost(tokenizer, "Thank you.")


def seeded(client: OpenAI, number: int) -> str:
    name = NAMES[number % len(NAMES)]
    messages = [user(f"Hi, I am {name} and my number is {100 + number}. Tell me about yourself.")]
    text, _ = ask(client, messages, stream=True, temperature=1.0, seed=number, max_tokens=24)
    return text


def test_equal_seeds_give_equal_text_alone_and_among_32_streams(client) -> None:
    alone = [seeded(client, number) for number in range(32)]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda number: seeded(client, number), range(32)))
    assert together == alone


def test_32_concurrent_conversations_never_mix(client) -> None:
    def converse(number: int) -> str:
        messages = [user(f"My locker number is {400 + number}.")]
        answer, _ = ask(client, messages, stream=True)
        messages += [{"role": "assistant", "content": answer}, user("What is my locker number?")]
        return ask(client, messages, stream=True)[0]

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(converse, range(32)))
    assert [str(400 + i) in answer for i, answer in enumerate(answers)] == [True] * 32

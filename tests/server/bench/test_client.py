"""The client against a server that knows only what OpenAI's API has."""

import pytest

from server.bench.client import Answer, Client, _writing
from server.bench.report import BenchError
from server.bench.talk import words_for
from tests.server.bench.standin import PIECES, standin

QUESTION = [{"role": "user", "content": "Hi"}]
KNOWN = {"model", "messages", "stream", "stream_options", "max_tokens", "temperature"}


async def test_pieces_of_text_are_counted_where_there_is_no_usage() -> None:
    with standin() as server:
        async with Client("it", server.url) as client:
            answer = await client.ask(QUESTION, 8)
    assert (answer.text, answer.tokens, answer.prompt_tokens) == ("".join(PIECES), 3, None)
    assert 0 < answer.first_ms <= answer.last_ms


def test_the_wait_for_a_first_token_is_no_writing() -> None:
    answers = [Answer("", 11, None, 500.0, 1500.0), Answer("", 21, None, 0.0, 2000.0)]
    assert _writing(answers) == pytest.approx((10 + 20) / 1.5)


def test_an_answer_in_one_piece_was_not_seen_being_written() -> None:
    assert _writing([Answer("", 11, None, 500.0, 500.0)]) is None


async def test_usage_is_believed_before_pieces() -> None:
    with standin(usage={"completion_tokens": 7, "prompt_tokens": 9}) as server:
        async with Client("it", server.url) as client:
            answer = await client.ask(QUESTION, 8)
    assert (answer.tokens, answer.prompt_tokens) == (7, 9)


async def test_nothing_is_asked_for_that_only_this_server_knows() -> None:
    with standin() as server:
        async with Client("it", server.url + "/v1/", "secret") as client:
            await client.ask(QUESTION, 8)
    assert set(server.bodies[0]) == KNOWN
    assert server.bodies[0]["model"] == "standin"
    assert server.keys == ["Bearer secret"]


async def test_a_named_model_is_asked() -> None:
    with standin() as server:
        async with Client("it", server.url, model="other") as client:
            await client.ask(QUESTION, 8)
    assert server.bodies[0]["model"] == "other"


async def test_a_refusal_is_told_in_the_words_of_the_server() -> None:
    with standin(status=400) as server:
        async with Client("it", server.url) as client:
            with pytest.raises(BenchError, match="status 400: no such thing"):
                await client.ask(QUESTION, 8)


async def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(BenchError, match=r"127\.0\.0\.1:1 does not answer"):
        async with Client("it", "http://127.0.0.1:1"):
            pass


async def test_without_usage_a_word_counts_as_a_token() -> None:
    with standin() as server:
        async with Client("it", server.url) as client:
            assert await words_for(client, (100, 4000)) == {100: 100, 4000: 4000}

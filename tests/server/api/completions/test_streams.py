"""A stream says what a whole answer says."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from openai import OpenAI

from server.app import App
from tests.server.api.completions.asking import (
    IDS,
    KEYS,
    PROMPT,
    ask,
    collected,
    joined,
    listed,
)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 3},
        {"n": 2, "echo": True},
        {"n": 2, "logprobs": 3},
        {"echo": True, "logprobs": 2},
        {"prompt": [IDS, [5]], "echo": True, "logprobs": 0},
        {"beside": {"return_token_ids": True}, "n": 2},
        {"stop": ["e", "\ufffd"]},
        {"max_tokens": 0, "echo": True, "logprobs": 1},
    ],
    ids=str,
)
def test_a_stream_says_what_a_whole_answer_says(client: OpenAI, fields: Any) -> None:
    usage = {"stream_options": {"include_usage": True}}
    whole = ask(client, **fields)
    found, used = collected(ask(client, **fields, stream=True, **usage))
    for choice in whole.choices:
        streamed = found[choice.index]
        assert streamed["text"] == choice.text
        assert streamed["reason"] == choice.finish_reason
        assert streamed["ids"] == getattr(choice, "token_ids", [])
        entries = listed(choice.logprobs) if choice.logprobs else []
        for one, other in zip(streamed["logprobs"], entries, strict=True):
            assert (one[0], one[3]) == (other[0], other[3])
            # What is computed beside a token moves the last bits of its likelihood.
            assert one[1] == (other[1] and pytest.approx(other[1], abs=1e-4))
            assert one[2] == (other[2] and pytest.approx(other[2], abs=1e-4))
    assert used.completion_tokens == whole.usage.completion_tokens
    assert used.prompt_tokens == whole.usage.prompt_tokens


def test_the_end_of_a_stream_is_sent_with_its_usage(serving: tuple[str, App]) -> None:
    address = urlsplit(serving[0])
    connection = socket.create_connection((address.hostname, address.port))
    body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 8, "stream": True}
    data = json.dumps(body | {"n": 2, "stream_options": {"include_usage": True}})
    head = "POST /v1/completions HTTP/1.1", "Host: localhost", "Connection: close"
    more = f"Authorization: Bearer {KEYS[0]}", "Content-Type: application/json"
    lines = (*head, *more, f"Content-Length: {len(data.encode())}", "", data)
    with connection, connection.makefile("rb") as answer:
        connection.sendall("\r\n".join(lines).encode())
        while answer.readline().strip():
            pass
        parts = []
        while size := int(answer.readline(), 16):
            parts.append(answer.read(size))
            answer.readline()
    assert parts[-1].count(b"data: ") == 3  # of the last choice, the usage and [DONE]
    assert not any(b'usage":{' in part or b"[DONE]" in part for part in parts[:-1])


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_never_leaks(client: OpenAI, stream: bool) -> None:
    free = ask(client, max_tokens=20, logprobs=0).choices[0].text
    stop = free[4:7]
    found = ask(client, max_tokens=20, logprobs=0, stop=stop, stream=stream)
    if stream:
        choice = collected(found)[0][0]
        text, tokens = choice["text"], [entry[0] for entry in choice["logprobs"]]
    else:
        text, tokens = found.choices[0].text, found.choices[0].logprobs.tokens
    assert text == free[: free.index(stop)]
    assert joined(tokens).decode(errors="replace") == text


def test_chunks_are_what_the_answer_is_made_of(serving: tuple[str, App]) -> None:
    body = {"model": "tiny", "prompt": IDS, "max_tokens": 3, "stream": True, "ignore_eos": True}
    headers = {"authorization": "Bearer key"}
    text = httpx.post(f"{serving[0]}/v1/completions", json=body, headers=headers).text
    *frames, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "length"

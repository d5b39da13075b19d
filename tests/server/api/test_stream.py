"""Streams, byte by byte."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletionChunk
from starlette.types import Message, Receive, Scope, Send

from server.api import answers, streams
from server.chat.types import ChoiceEnd, TextDelta
from server.errors import AnswerFailed
from tests.server.api.doubles import PATH, Api, answer, assert_error, body


async def stream(api: Api, **fields: Any) -> bytes:
    response = await api.chat(stream=True, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    return response.content


def frames(data: bytes) -> list[dict[str, Any]]:
    """The JSON of every frame but [DONE], which must be the last."""
    assert data.endswith(b"data: [DONE]\n\n")
    parts = data.removesuffix(b"data: [DONE]\n\n").split(b"\n\n")
    assert parts.pop() == b""
    assert all(part.startswith(b"data: {") for part in parts)
    return [json.loads(part.removeprefix(b"data: ")) for part in parts]


async def test_frames_are_separated_by_line_feeds_alone(api: Api) -> None:
    api.service.script = answer("a\r\nb\n\nc\r")
    data = await stream(api)
    assert b"\r" not in data
    assert data.count(b"\n") == 2 * data.count(b"data: ")


async def test_done_is_the_last_frame(api: Api) -> None:
    data = await stream(api, stream_options={"include_usage": True})
    assert data.endswith(b"}\n\ndata: [DONE]\n\n")
    assert data.count(b"[DONE]") == 1


async def parts(api: Api, path: str, body: dict[str, Any]) -> list[Message]:
    """What a stream is sent in, behind its head."""
    sent: list[Message] = []

    async def listened(scope: Scope, receive: Receive, send: Send) -> None:
        async def heard(message: Message) -> None:
            sent.append(message)
            await send(message)

        await api.app(scope, receive, heard)

    transport = httpx.ASGITransport(listened)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.post(path, json=body)
    assert response.status_code == 200
    return sent[1:]


async def test_what_is_said_together_is_sent_together(api: Api) -> None:
    api.service.script = [TextDelta(0, "Hel"), TextDelta(0, "lo"), *answer("")[-1:]]
    asked = body(stream=True, stream_options={"include_usage": True})
    first, second, last = await parts(api, PATH, asked)
    assert b'"role"' in first["body"]
    assert b"Hel" in first["body"]
    assert second["body"].count(b"data: ") == 1
    assert last["body"].count(b"data: ") == 3  # the end, the usage and [DONE]
    assert [it["more_body"] for it in (first, second, last)] == [True, True, False]


async def test_a_stream_that_breaks_is_ended_as_well(api: Api) -> None:
    api.service.script = [TextDelta(0, "Hel"), AnswerFailed("it broke")]
    sent = await parts(api, PATH, body(stream=True))
    assert [it["more_body"] for it in sent] == [True, True, False]


async def test_no_text_can_look_like_the_end_of_a_line(api: Api) -> None:
    api.service.script = answer("\u2028\u2029\x85\x0b\x0c\x1c é 漢 \U0001f600")
    data = await stream(api)
    assert data.isascii()
    assert data.decode().splitlines() == data.decode().split("\n")[:-1]


async def test_every_chunk_is_what_the_sdk_types(api: Api) -> None:
    for chunk in frames(await stream(api, stream_options={"include_usage": True})):
        assert ChatCompletionChunk.model_validate(chunk, strict=True).model_extra == {}


async def test_all_chunks_share_id_created_model_and_fingerprint(api: Api) -> None:
    chunks = frames(await stream(api))
    names = ("id", "created", "model", "system_fingerprint", "object", "service_tier")
    assert len({tuple(chunk[name] for name in names) for chunk in chunks}) == 1


async def test_the_role_comes_once_for_each_choice_and_first(api: Api) -> None:
    api.service.script = [*answer("ab", 1), *answer("cd", 0), *answer("ef", 2)]
    choices = [chunk["choices"][0] for chunk in frames(await stream(api, n=3))]
    roles = [(i, c["index"]) for i, c in enumerate(choices) if "role" in c["delta"]]
    assert roles == [(0, 0), (1, 1), (2, 2)]


async def test_the_deltas_of_a_choice_are_its_text(api: Api) -> None:
    api.service.script = [*answer("ab", 1), *answer("cd", 0)]
    texts = ["", ""]
    for chunk in frames(await stream(api, n=2)):
        choice = chunk["choices"][0]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == ["cd", "ab"]


async def test_every_choice_ends_once_with_its_reason(api: Api) -> None:
    api.service.script = [ChoiceEnd(1, "length", 3), *answer("cd", 0)]
    chunks = frames(await stream(api, n=2))
    ends = [c for chunk in chunks for c in chunk["choices"] if c["finish_reason"] is not None]
    assert [(c["index"], c["finish_reason"], c["delta"]) for c in ends] == [
        (1, "length", {}),
        (0, "stop", {}),
    ]


async def test_required_nulls_are_in_every_chunk(api: Api) -> None:
    for chunk in frames(await stream(api)):
        assert {"finish_reason", "logprobs"} <= set(chunk["choices"][0])


async def test_usage_is_not_sent_unasked(api: Api) -> None:
    assert all("usage" not in chunk for chunk in frames(await stream(api)))


async def test_usage_comes_last_without_choices_and_is_null_before(api: Api) -> None:
    *others, last = frames(await stream(api, stream_options={"include_usage": True}))
    assert last["choices"] == []
    assert all(chunk["usage"] is None for chunk in others)


async def test_a_stream_uses_what_a_whole_answer_uses(api: Api) -> None:
    whole = (await api.chat()).json()["usage"]
    *_, last = frames(await stream(api, stream_options={"include_usage": True}))
    assert last["usage"] == whole


async def test_an_error_before_the_first_token_is_plain(api: Api) -> None:
    api.service.script = [AnswerFailed("it broke")]
    assert_error(await api.chat(stream=True), 500)


@pytest.mark.parametrize(
    ("error", "message"),
    [(AnswerFailed("it broke"), "it broke"), (ZeroDivisionError("secret"), "The server failed")],
)
async def test_an_error_on_the_way_is_the_last_frame(
    api: Api, error: Exception, message: str
) -> None:
    api.service.script = [TextDelta(0, "Hel"), error]
    *_, last, nothing = (await stream(api)).split(b"\n\n")
    assert nothing == b""
    found = json.loads(last.removeprefix(b"data: "))["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert found["message"].startswith(message)


async def test_a_turn_is_released_when_its_stream_has_ended(api: Api) -> None:
    await stream(api)
    assert api.service.turns[0].cancelled.is_set()


async def test_silence_is_broken_by_comments(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.02)
    monkeypatch.setattr(answers, "PING_S", 0.02)
    api.service.script = [lambda: asyncio.sleep(0.3), *answer()]
    data = await stream(api)
    before, _, after = data.partition(b"Hello"[:1])
    assert before.count(b": ping\n\n") >= 2
    assert b"ping" not in after
    assert frames(data.replace(b": ping\n\n", b""))


async def test_a_running_stream_has_no_comments(api: Api) -> None:
    api.service.script = answer("x" * 500)
    assert b"ping" not in await stream(api)

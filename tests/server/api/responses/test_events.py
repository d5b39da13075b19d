"""The events of a response, checked as a machine that knows which may come next."""

import asyncio
from typing import Any

import pytest
from openai.types.responses import Response

from server.chat.types import ChoiceEnd, ReasoningDelta, TextDelta, ToolCallDelta
from server.errors import AnswerFailed
from tests.server.api.doubles import Api, FakeTurn, Step, answer
from tests.server.api.sent import REPLAY, RESPONSES, documented, is_official

CALLS: list[Step] = [
    ToolCallDelta(0, 0, "", "call_a", "f"),
    ToolCallDelta(0, 0, '{"a"'),
    ToolCallDelta(0, 0, ": 1}"),
    ToolCallDelta(0, 1, "", "call_b", "g"),
    ToolCallDelta(0, 1, "{}"),
]
SCRIPTS: dict[str, list[Step]] = {
    "text": answer(),
    "nothing": [ChoiceEnd(0, "stop", 1)],
    "thoughts and text": [ReasoningDelta(0, "Hm"), ReasoningDelta(0, "m."), *answer()],
    "thoughts, cut": [ReasoningDelta(0, "Hm"), ChoiceEnd(0, "length", 5, 5)],
    "text and calls": [TextDelta(0, "Wait."), *CALLS, ChoiceEnd(0, "tool_calls", 9)],
    "text behind calls": [*CALLS, TextDelta(0, "So."), ChoiceEnd(0, "tool_calls", 9)],
    "custom calls": [
        ToolCallDelta(0, 0, "", "call_a", "f", custom=True),
        ToolCallDelta(0, 0, "print", custom=True),
        ToolCallDelta(0, 0, "()", custom=True),
        *CALLS[3:],
        ChoiceEnd(0, "tool_calls", 9),
    ],
    "a custom call, cut": [
        ToolCallDelta(0, 0, "", "call_a", "f", custom=True),
        ChoiceEnd(0, "length", 9),
    ],
    "a call, cut": [*CALLS[:2], ChoiceEnd(0, "length", 9)],
    "a failure": [TextDelta(0, "Hel"), AnswerFailed("broken")],
}
FINAL = {"response.completed", "response.incomplete", "response.failed"}


async def told(api: Api, **fields: Any) -> list[dict[str, Any]]:
    body = {"model": "tiny", "input": "Hi", "stream": True, **fields}
    response = await api.client.post("/v1/responses", json=body)
    assert response.status_code == 200, response.text
    events = documented(response.text, RESPONSES)
    for event in events:
        is_official(event, RESPONSES)
    return events


class Machine:
    """Follows a response through its events, and ends with what it must be."""

    def __init__(self) -> None:
        self.number = 0
        self.items: list[dict[str, Any]] = []
        self.open: dict[str, Any] | None = None
        self.text = ""
        self.part_open = False
        self.response: dict[str, Any] | None = None

    def take(self, event: dict[str, Any]) -> None:
        assert event["sequence_number"] == self.number
        self.number += 1
        assert self.response is None, "nothing comes after the end"
        kind = event["type"]
        if self.number <= 2:
            assert kind == ("response.created", "response.in_progress")[self.number - 1]
            assert event["response"]["output"] == []
        elif kind in FINAL:
            assert self.open is None
            self.response = event["response"]
        elif kind == "response.output_item.added":
            self.add(event)
        else:
            self.fill(event)

    def add(self, event: dict[str, Any]) -> None:
        assert self.open is None
        assert event["output_index"] == len(self.items)
        self.open, self.text = event["item"], ""
        assert self.open["status"] == "in_progress"
        assert not self.open.get("content")
        assert not self.open.get("arguments")
        assert not self.open.get("input")

    def fill(self, event: dict[str, Any]) -> None:
        assert self.open is not None
        assert event["output_index"] == len(self.items)
        assert event.get("item_id", self.open["id"]) == self.open["id"]
        name = event["type"].removeprefix("response.")
        if name == "content_part.added":
            assert not self.part_open
            assert event["part"]["text"] == ""
            self.part_open = True
        elif name.endswith(".delta"):
            assert self.part_open or self.open["type"] in {"function_call", "custom_tool_call"}
            self.text += event["delta"]
        elif name == "content_part.done":
            assert event["part"]["text"] == self.text
            self.part_open = False
        elif name == "output_item.done":
            assert not self.part_open
            self.items.append(event["item"])
            self.open = None
        else:
            assert name.endswith(".done")
            written = {"text", "arguments", "input"} & event.keys()
            assert [event[key] for key in written] == [self.text]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_every_item_is_added_filled_done_and_in_the_response(
    api: Api, script: list[Step]
) -> None:
    api.service.script = script
    machine = Machine()
    for event in await told(api):
        machine.take(event)
    assert machine.response is not None
    assert machine.response["output"] == machine.items
    assert machine.items
    Response.model_validate(machine.response, strict=True)


@pytest.mark.parametrize("script", list(SCRIPTS.values())[:-1], ids=list(SCRIPTS)[:-1])
async def test_a_whole_answer_is_what_its_stream_ends_in(api: Api, script: list[Step]) -> None:
    api.service.script = script
    streamed = (await told(api))[-1]["response"]
    body = {"model": "tiny", "input": "Hi"}
    whole = (await api.client.post("/v1/responses", json=body)).json()

    def bare(response: dict[str, Any]) -> Any:
        output = [{**item, "id": ""} for item in response["output"]]
        return {**response, "id": "", "created_at": 0, "completed_at": 0, "output": output}

    assert bare(whole) == bare(streamed)


async def test_a_failure_on_the_way_is_stored_and_told(api: Api) -> None:
    api.service.script = SCRIPTS["a failure"]
    last = (await told(api))[-1]
    assert last["type"] == "response.failed"
    found = (await api.client.get(f"/v1/responses/{last['response']['id']}")).json()
    assert found == last["response"]
    assert (found["status"], found["error"]) == (
        "failed",
        {"code": "server_error", "message": "broken"},
    )


async def test_a_failure_before_the_first_word_is_a_plain_error(api: Api) -> None:
    api.service.script = [AnswerFailed("broken")]
    response = await api.client.post("/v1/responses", json={"model": "tiny", "input": "Hi"})
    assert response.status_code == 500


def statuses(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["response"]["status"]) for event in events if "response" in event]


async def test_a_stream_in_the_background_begins_in_the_queue(api: Api) -> None:
    assert statuses(await told(api, background=True)) == [
        ("response.created", "queued"),
        ("response.queued", "queued"),
        ("response.in_progress", "in_progress"),
        ("response.completed", "completed"),
    ]


async def test_what_fails_in_the_queue_was_never_in_progress(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def started(_: FakeTurn) -> bool:
        return False

    monkeypatch.setattr(FakeTurn, "started", started)
    api.service.script = [AnswerFailed("it waited for too long")]
    assert [status for _, status in statuses(await told(api, background=True))] == [
        "queued",
        "queued",
        "failed",
    ]


async def test_what_is_cancelled_is_told_as_incomplete(api: Api) -> None:
    cancelled = asyncio.Event()
    api.service.script = [TextDelta(0, "Hel"), cancelled.wait, ChoiceEnd(0, "cancelled", 1)]
    body = {"model": "tiny", "input": "Hi", "background": True}
    id = (await api.client.post(RESPONSES, json=body)).json()["id"]
    following = asyncio.create_task(api.client.get(f"{RESPONSES}/{id}?stream=true"))
    cancelling = asyncio.create_task(api.client.post(f"{RESPONSES}/{id}/cancel"))
    await api.service.turns[0].cancelled.wait()
    cancelled.set()
    events = documented((await following).text, REPLAY, "get")
    for event in events:
        is_official(event, RESPONSES)
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"] == (await cancelling).json()
    assert events[-1]["response"]["status"] == "cancelled"

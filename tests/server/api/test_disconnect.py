"""A client that leaves: its turn is cancelled, whatever was being waited for."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from server.api.streams import unbroken, while_connected
from server.chat.types import TextDelta
from tests.server.api.doubles import PATH, Api, Step, body


class Visitor:
    """An ASGI client that can leave, and whose connection can be full."""

    def __init__(self, api: Api, **fields: Any) -> None:
        self._app = api.app
        self._data = json.dumps(body(**fields)).encode()
        self._given = False
        self.left = asyncio.Event()
        self.full = False
        self.sent: list[Message] = []
        self.task = asyncio.create_task(self._visit())

    async def _visit(self) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "path": PATH,
            "raw_path": PATH.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self._data, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if self.full and message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def leave(self) -> None:
        self.left.set()
        await self.task


async def started(api: Api) -> None:
    while not api.service.turns:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)


async def for_ever() -> None:
    await asyncio.Event().wait()


NOTHING: list[Step] = [for_ever]
SOMETHING: list[Step] = [TextDelta(0, "Hel"), for_ever]


@pytest.mark.parametrize("script", [NOTHING, SOMETHING])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_turn_is_cancelled_as_soon_as_its_client_has_left(
    api: Api, script: list[Step], stream: bool
) -> None:
    api.service.script = script
    visitor = Visitor(api, stream=stream)
    await started(api)
    assert not api.service.turns[0].cancelled.is_set()
    async with asyncio.timeout(1):
        await visitor.leave()
    assert api.service.turns[0].cancelled.is_set()


async def test_a_client_that_reads_nothing_can_leave(api: Api) -> None:
    api.service.script = SOMETHING
    visitor = Visitor(api, stream=True)
    visitor.full = True
    await started(api)
    async with asyncio.timeout(1):
        await visitor.leave()
    assert api.service.turns[0].cancelled.is_set()


async def test_nothing_is_sent_to_who_has_left(api: Api) -> None:
    api.service.script = NOTHING
    visitor = Visitor(api)
    await started(api)
    await visitor.leave()
    assert visitor.sent == []


async def test_no_task_is_left_behind(api: Api) -> None:
    api.service.script = SOMETHING
    await come_and_go(api, times=1)
    before = asyncio.all_tasks()
    await come_and_go(api, times=10)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_ends_leaves_no_task_though_its_client_stays(
    api: Api, stream: bool
) -> None:
    before = asyncio.all_tasks()
    visitor = Visitor(api, stream=stream)
    await visitor.task
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def come_and_go(api: Api, times: int) -> None:
    for stream in (False, True) * times:
        visitor = Visitor(api, stream=stream)
        await started(api)
        await visitor.leave()
        api.service.turns.clear()
    await asyncio.sleep(0)


@pytest.mark.parametrize("stream", [True, False])
async def test_whoever_leaves_before_a_response_is_counted_as_such(api: Api, stream: bool) -> None:
    api.service.script = NOTHING
    visitor = Visitor(api, stream=stream)
    await started(api)
    await visitor.leave()
    text = api.context.metrics.exposition()[0].decode()
    assert f'http_requests_total{{route="{PATH}",status="499"}} 1.0' in text


async def test_what_is_kept_at_the_end_is_kept_though_the_client_leaves_meanwhile() -> None:
    written, done = asyncio.Event(), asyncio.Event()

    async def keep() -> None:
        await written.wait()
        done.set()

    answer = asyncio.create_task(unbroken(keep()))
    await asyncio.sleep(0)
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    written.set()
    async with asyncio.timeout(5):
        await done.wait()


async def gone() -> Message:
    return {"type": "http.disconnect"}


async def test_time_that_runs_out_within_a_block_is_not_its_client_leaving() -> None:
    async def too_long() -> None:
        async with while_connected(asyncio.Event().wait):  # type: ignore[arg-type]
            async with asyncio.timeout(0.01):
                await for_ever()

    with pytest.raises(TimeoutError):
        await too_long()


@pytest.mark.parametrize("turns", range(5))
async def test_a_block_that_ends_as_its_client_leaves_breaks_nothing(turns: int) -> None:
    with suppress(ClientDisconnect):
        async with while_connected(gone):
            for _ in range(turns):
                await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)

"""The access log: one line of fields for each request, and nothing of what was said."""

import logging
from typing import Any

import pytest

from server import log
from server.api.inside import Inside
from tests.server.api.doubles import PATH, Api

SECRET = "my medical history"


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, log.ACCESS)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == log.ACCESS]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_is_a_line_of_fields_under_its_id(
    api: Api, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    response = await api.chat(stream=stream)
    (line,) = lines(caplog)
    assert (line["method"], line["path"], line["status"]) == ("POST", PATH, 200)
    assert line["request_id"] == response.headers["x-request-id"]
    assert 0 < line["seconds"] < 60
    assert line["client"].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("path", "status"), [("/health", 200), ("/nowhere", 404), (f"{PATH}/x%0Ay", 404)]
)
async def test_the_path_is_as_it_was_sent_without_its_query(
    api: Api, caplog: pytest.LogCaptureFixture, path: str, status: int
) -> None:
    await api.client.get(path, params={"q": SECRET})
    (line,) = lines(caplog)
    assert (line["path"], line["status"]) == (path, status)


async def test_no_line_quotes_a_prompt_or_a_key(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"authorization": f"Bearer {SECRET}"}
    messages = [{"role": "user", "content": SECRET}]
    await api.client.post(PATH, json={"model": "m", "messages": messages}, headers=headers)
    (line,) = lines(caplog)
    assert SECRET not in str(line)


async def test_nothing_is_written_where_it_is_switched_off(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, log.ACCESS)
    await api.chat()
    assert lines(caplog) == []


async def test_what_a_batch_asks_is_not_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    answer = await Inside(api.app)("/nowhere", b"{}", "ann")
    assert answer.status == 404
    assert lines(caplog) == []

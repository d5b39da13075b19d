"""/v1/files and /v1/batches: the OpenAI SDK against a real server with a real, if random, model."""

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI

from server.app import App
from server.errors import NoRoom
from server.files.folder import Whole
from tests.server.api.test_sdk import ENDLESS, eventually
from tests.server.tiny import checkpoint, served

KEYS = ["key", "other"]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    options: dict[str, Any] = {"files__max_file_bytes": "64KiB", "server__max_body_bytes": "4KiB"}
    with served(
        path, server__api_keys=KEYS, engine__max_slots=2, engine__max_queue=1, **options
    ) as both:
        yield both


def request(name: str, body: dict[str, Any], url: str = CHAT) -> dict[str, Any]:
    return {"custom_id": name, "method": "POST", "url": url, "body": {"model": "tiny", **body}}


def hello(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, "seed": 1} | fields


def upload(client: OpenAI, *requests: dict[str, Any], **fields: Any) -> Any:
    data = "\n".join(map(json.dumps, requests)).encode()
    return client.files.create(file=("in.jsonl", data), purpose="batch", **fields)


def run(client: OpenAI, *requests: dict[str, Any], endpoint: Any = CHAT, **fields: Any) -> Any:
    file = upload(client, *requests)
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", **fields
    )


def ended(client: OpenAI, batch: Any) -> Any:
    def over() -> bool:
        return client.batches.retrieve(batch.id).status in {"completed", "failed", "cancelled"}

    assert eventually(over, 20)
    return client.batches.retrieve(batch.id)


def entries(client: OpenAI, id: str) -> dict[str, Any]:
    text = client.files.content(id).text
    return {entry["custom_id"]: entry for entry in map(json.loads, text.splitlines())}


def test_a_file_comes_back_as_it_was_sent(client: OpenAI) -> None:
    file = upload(client, request("a", hello()))
    assert client.files.retrieve(file.id) == file
    assert (file.filename, file.purpose, file.status) == ("in.jsonl", "batch", "processed")
    content = client.files.content(file.id)
    assert json.loads(content.text) == request("a", hello())
    assert content.response.headers["content-disposition"].startswith("attachment")
    assert client.files.delete(file.id).deleted
    with pytest.raises(NotFoundError):
        client.files.retrieve(file.id)


def test_files_come_in_pages(client: OpenAI) -> None:
    ids = [upload(client, request("a", hello())).id for _ in range(5)]
    newest = [file.id for file in client.files.list(limit=2)]  # the SDK turns all pages
    assert newest[:5] == ids[::-1]
    oldest = [file.id for file in client.files.list(order="asc", limit=3)]
    assert oldest[-5:] == ids
    assert client.files.list(purpose="vision").data == []
    for query, param in (("limit=0", "limit"), ("limit=x", "limit"), ("order=up", "order")):
        with pytest.raises(BadRequestError) as refused:
            client.get(f"/files?{query}", cast_to=httpx.Response)
        assert refused.value.param == param


def test_nobody_sees_what_another_key_uploaded(client: OpenAI, stranger: OpenAI) -> None:
    file = upload(client, request("a", hello()))
    for ask in (stranger.files.retrieve, stranger.files.delete, stranger.files.content):
        with pytest.raises(NotFoundError):
            ask(file.id)
    assert file.id not in [item.id for item in stranger.files.list()]
    with pytest.raises(BadRequestError):
        stranger.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    batch = ended(client, run(client, request("a", hello())))
    for name in ("retrieve", "cancel"):
        with pytest.raises(NotFoundError):
            getattr(stranger.batches, name)(batch.id)
    with pytest.raises(NotFoundError):
        stranger.files.content(batch.output_file_id)


def test_a_file_may_be_larger_than_other_bodies_but_not_than_its_own_limit(client: OpenAI) -> None:
    many = [request(f"r{number}", hello()) for number in range(200)]
    assert upload(client, *many[:100]).bytes > 4 * 1024
    with pytest.raises(APIStatusError) as refused:
        upload(client, *many * 3)
    assert refused.value.status_code == 413


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"data": {"purpose": "batch"}, "files": {"other": b"x"}}, "file"),
        ({"files": {"file": b"x"}}, "purpose"),
        ({"data": {"purpose": "fine-tune"}, "files": {"file": b"x"}}, "purpose"),
        (
            {
                "data": {"purpose": "batch", "expires_after[anchor]": "created_at"},
                "files": {"file": b"x"},
            },
            "expires_after[seconds]",
        ),
    ],
)
def test_a_form_with_a_mistake_is_refused(
    serving: tuple[str, App], form: dict[str, Any], param: str
) -> None:
    headers = {"authorization": "Bearer key"}
    response = httpx.post(f"{serving[0]}/v1/files", headers=headers, **form)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_a_page_of_another_origin_uploads_nothing(
    serving: tuple[str, App], headers: dict[str, str], status: int
) -> None:
    response = httpx.post(
        f"{serving[0]}/v1/files",
        headers={"authorization": "Bearer key", **headers},
        data={"purpose": "batch"},
        files={"file": b"x"},
    )
    assert response.status_code == status


@pytest.mark.parametrize("boundary", ["; boundary=x", "", "; boundary=" + "x" * 300])
def test_a_broken_form_is_a_mistake(serving: tuple[str, App], boundary: str) -> None:
    headers = {
        "authorization": "Bearer key",
        "content-type": f"multipart/form-data{boundary}",
    }
    response = httpx.post(f"{serving[0]}/v1/files", headers=headers, content=b"--y\r\nno")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_form"


def part(name: str, content: bytes, *filename: str) -> bytes:
    """Of a form with the boundary x."""
    named = "".join(f'; filename="{one}"' for one in filename)
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + content + b"\r\n"


PURPOSE = part("purpose", b"batch")


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (part("file", b"a\r\n--y\r\n", "t\u00fcr.jsonl") + PURPOSE + b"--x--\r\n", 200),
        (PURPOSE + part("file", b"", "") + b"--x--\r\n", 200),
        (PURPOSE + part("file", b"a", "in"), 400),
        (PURPOSE + part("file", b"a", "in") * 2 + b"--x--\r\n", 400),
        (part("purpose", b"a" * 5000) + part("file", b"a", "in") + b"--x--\r\n", 400),
        (PURPOSE * 9 + part("file", b"a", "in") + b"--x--\r\n", 400),
        (PURPOSE + part("file", b"a") + b"--x--\r\n", 400),
    ],
    ids=["any order", "empty", "no end", "two files", "long field", "many fields", "no file"],
)
def test_a_form_is_read_as_it_comes(serving: tuple[str, App], form: bytes, status: int) -> None:
    headers = {"authorization": "Bearer key", "content-type": "multipart/form-data; boundary=x"}
    folder = serving[1].context.files.folder.path
    before = sorted(folder.rglob("*"))

    def bytewise() -> Iterator[bytes]:
        yield from (form[at : at + 1] for at in range(len(form)))

    one, other = (
        httpx.post(f"{serving[0]}/v1/files", headers=headers, content=content)
        for content in (form, bytewise())
    )
    assert one.status_code == other.status_code == status
    if status != 200:
        assert one.json()["error"] == other.json()["error"]
        assert sorted(folder.rglob("*")) == before
        return
    assert one.json()["filename"] == other.json()["filename"] in {"t\u00fcr.jsonl", "file"}
    for made in (one, other):
        url = f"{serving[0]}/v1/files/{made.json()['id']}/content"
        content = httpx.get(url, headers={"authorization": "Bearer key"}).content
        assert content == (b"a\r\n--y\r\n" if b"--y" in form else b"")


@pytest.mark.parametrize("how", ["leaves", "is told"])
def test_what_came_of_a_file_is_gone_when_it_comes_no_further(
    serving: tuple[str, App], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("server.api.forms._AT_ONCE", 1000)
    folder = serving[1].context.files.folder.path
    body = part("file", b"x" * 30_000, "in") + PURPOSE + b"--x--\r\n"
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    address = httpx.URL(serving[0])
    with socket.create_connection((address.host, address.port)) as connection:
        connection.sendall(head.encode() + body[:15_000])
        assert eventually(lambda: bool(list(folder.rglob("*.part"))))
        if how == "is told":
            monkeypatch.setattr(Whole, "write", Mock(side_effect=NoRoom))
            connection.sendall(body[15_000:29_000])
            time.sleep(0.05)
            connection.sendall(body[29_000:])
            assert connection.recv(100).startswith(b"HTTP/1.1 507")
    assert eventually(lambda: not list(folder.rglob("*.part")))


def test_a_full_disk_is_told_and_leaves_nothing(
    client: OpenAI, serving: tuple[str, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = serving[1].context.files.folder.path
    file = upload(client, request("a", hello()))
    before = sorted(folder.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for ask in (
            lambda: upload(client, request("a", hello())),
            lambda: client.batches.create(
                input_file_id=file.id, endpoint=CHAT, completion_window="24h"
            ),
        ):
            with pytest.raises(APIStatusError) as refused:
                ask()
            assert (refused.value.status_code, refused.value.code) == (507, "insufficient_storage")
            assert refused.value.type == "server_error"
    assert [path for path in folder.rglob("*") if path.is_file() and path not in before] == []
    assert ended(client, run(client, request("a", hello()))).status == "completed"


def test_expiry_is_told(client: OpenAI) -> None:
    expiry: Any = {"anchor": "created_at", "seconds": 3600}
    file = upload(client, request("a", hello()), expires_after=expiry)
    assert file.expires_at == file.created_at + 3600


def test_a_batch_answers_what_the_api_answers(client: OpenAI) -> None:
    requests = [request(f"r{seed}", hello(seed=seed)) for seed in range(5)]
    batch = run(client, *requests, metadata={"for": "me"})
    assert batch.status == "validating"
    batch = ended(client, batch)
    assert batch.status == "completed"
    assert batch.request_counts.model_dump() == {"completed": 5, "failed": 0, "total": 5}
    assert (batch.metadata, batch.model, batch.error_file_id) == ({"for": "me"}, "tiny", None)
    assert batch.usage.output_tokens > 0
    found = entries(client, batch.output_file_id)
    for seed in range(5):
        response = found[f"r{seed}"]["response"]
        assert response["status_code"] == 200
        assert response["request_id"]
        direct: Any = client.chat.completions.create(model="tiny", **hello(seed=seed))
        text = response["body"]["choices"][0]["message"]["content"]
        assert text == direct.choices[0].message.content


def test_the_time_limit_of_a_request_is_none_of_a_batch(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    with (
        served(path, server__request_timeout_s=0.01) as (url, _),
        OpenAI(base_url=f"{url}/v1", api_key="key") as client,
    ):
        long = hello(max_tokens=100, logit_bias={"0": -100})
        batch = ended(client, run(client, request("a", long)))
        assert batch.usage.output_tokens == 100


@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        ("/v1/completions", {"prompt": "Hi", "max_tokens": 2}, "text_completion"),
        ("/v1/responses", {"input": "Hi", "max_output_tokens": 2}, "response"),
        ("/v1/embeddings", {"input": ["Hi", "Ho"]}, "list"),
    ],
)
def test_other_endpoints_have_batches_too(
    client: OpenAI, endpoint: Any, body: dict[str, Any], kind: str
) -> None:
    batch = ended(client, run(client, request("a", body, endpoint), endpoint=endpoint))
    assert entries(client, batch.output_file_id)["a"]["response"]["body"]["object"] == kind


def test_responses_of_a_batch_are_stored_and_counted(client: OpenAI, stranger: OpenAI) -> None:
    given = request("a", {"input": "Hi", "max_output_tokens": 2}, "/v1/responses")
    batch = ended(client, run(client, given, endpoint="/v1/responses"))
    answer = entries(client, batch.output_file_id)["a"]["response"]["body"]
    found = client.responses.retrieve(answer["id"])
    assert found.to_dict() == answer
    assert found.usage is not None
    assert (
        batch.usage.to_dict().items()
        >= {
            "input_tokens": found.usage.input_tokens,
            "output_tokens": 2,
            "total_tokens": found.usage.total_tokens,
        }.items()
    )
    with pytest.raises(NotFoundError):
        stranger.responses.retrieve(answer["id"])


@pytest.mark.parametrize("field", ["stream", "background"])
def test_a_request_of_a_batch_is_neither_streamed_nor_in_the_background(
    client: OpenAI, field: str
) -> None:
    given = request("a", {"input": "Hi", field: True}, "/v1/responses")
    batch = ended(client, run(client, given, endpoint="/v1/responses"))
    assert batch.status == "failed"
    (error,) = batch.errors.data
    assert (error.code, error.param) == ("invalid_value", f"body.{field}")


def test_mistakes_of_single_requests_are_in_the_error_file(client: OpenAI) -> None:
    batch = ended(
        client, run(client, request("good", hello()), request("bad", hello(temperature=3)))
    )
    assert batch.request_counts.model_dump() == {"completed": 1, "failed": 1, "total": 2}
    (bad,) = entries(client, batch.error_file_id).values()
    assert bad["custom_id"] == "bad"
    assert bad["response"]["status_code"] == 400
    assert bad["response"]["body"]["error"]["param"] == "temperature"


def test_a_file_with_a_broken_line_fails_as_a_whole(client: OpenAI) -> None:
    batch = ended(client, run(client, request("a", hello()), request("a", hello())))
    assert batch.status == "failed"
    (error,) = batch.errors.data
    assert (error.code, error.line) == ("duplicate_custom_id", 2)


def test_batches_come_in_pages(client: OpenAI) -> None:
    ids = [ended(client, run(client, request("a", hello()))).id for _ in range(3)]
    assert [batch.id for batch in client.batches.list(limit=2)][:3] == ids[::-1]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"input_file_id": "file-1"}, "input_file_id"),
        ({"completion_window": "1h"}, "completion_window"),
    ],
)
def test_a_batch_with_a_mistake_is_refused(
    client: OpenAI, fields: dict[str, Any], param: str
) -> None:
    file = upload(client, request("a", hello()))
    good = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    with pytest.raises(BadRequestError) as refused:
        client.batches.create(**good | fields)
    assert refused.value.param == param


def test_a_batch_makes_nobody_wait_and_can_be_cancelled(client: OpenAI, app: App) -> None:
    batch = run(client, *(request(f"r{number}", hello(**ENDLESS)) for number in range(6)))
    assert eventually(lambda: app.catalogue.in_flight == 2)
    answers: list[Any] = []

    def ask() -> None:
        answers.append(client.chat.completions.create(model="tiny", **hello()))  # type: ignore

    asking = [threading.Thread(target=ask) for _ in range(3)]  # slots and queue
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(answers) == 3
    assert client.batches.cancel(batch.id).status == "cancelling"
    batch = ended(client, batch)
    assert (batch.status, batch.request_counts.failed) == ("cancelled", 6)
    assert eventually(lambda: app.catalogue.in_flight == 0)

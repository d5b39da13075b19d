"""Uploads as forms: what comes over the wire, whole, broken or not to its end."""

import socket
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from server.app import App
from server.errors import NoRoom
from server.files.folder import Whole
from tests.server.api.test_sdk import eventually


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

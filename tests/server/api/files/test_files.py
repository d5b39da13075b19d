"""/v1/files: the OpenAI SDK against a real server with a real, if random, model."""

import errno
import json
import os
from typing import Any

import httpx
import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI

from server.app import App
from tests.server.api.files.asking import CHAT, ended, hello, request, run, upload


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

"""What tests of files and batches send, and what they read of it."""

import json
from typing import Any

from openai import OpenAI

from tests.server.api.test_sdk import eventually

CHAT = "/v1/chat/completions"


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

"""Things that a server keeps, made when a random request is to be about one that is there."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
ITEM = {"type": "message", "role": "user", "content": "Hi"}
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": ASKED}


class Stored:
    """Makes what an id in a path or in a body names."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30)
        self._makers: Mapping[str, Callable[[], dict[str, str]]] = {
            "completion_id": lambda: {"completion_id": self._completion()},
            "response_id": lambda: {"response_id": self._response()},
            "previous_response_id": lambda: {"previous_response_id": self._response()},
            "conversation": lambda: {"conversation": self._conversation()["conversation_id"]},
            "conversation_id": self._conversation,
            "file_id": lambda: {"file_id": self._file()},
            "input_file_id": lambda: {"input_file_id": self._file()},
            "batch_id": lambda: {"batch_id": self._batch()},
            "model": lambda: {"model": "tiny"},
        }

    def close(self) -> None:
        self._client.close()

    def name(self, fields: dict[str, Any]) -> None:
        """Let every id among the fields that stands for something name a thing that is there."""
        for field in [*fields]:
            if field in self._makers and (field == "model" or isinstance(fields[field], str)):
                fields |= {k: v for k, v in self._makers[field]().items() if k in fields}

    def _post(self, path: str, **request: Any) -> dict[str, Any]:
        response = self._client.post(path, **request)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    def _completion(self) -> str:
        return str(self._post("/v1/chat/completions", json={**ASKED, "store": True})["id"])

    def _response(self) -> str:
        """In the background, so that it can be cancelled, and as a stream, to be streamed again."""
        body = {"model": "tiny", "input": "Hi", "background": True, "stream": True}
        response = self._client.post("/v1/responses", json=body)
        response.raise_for_status()
        first = response.text.partition("data: ")[2].partition("\n")[0]
        return str(json.loads(first)["response"]["id"])

    def _conversation(self) -> dict[str, str]:
        id = str(self._post("/v1/conversations", json={"items": [ITEM]})["id"])
        items = self._client.get(f"/v1/conversations/{id}/items").json()["data"]
        return {"conversation_id": id, "item_id": items[0]["id"]}

    def _file(self) -> str:
        file = {"file": ("lines.jsonl", json.dumps(LINE).encode())}
        return str(self._post("/v1/files", files=file, data={"purpose": "batch"})["id"])

    def _batch(self) -> str:
        body = {
            "input_file_id": self._file(),
            "endpoint": LINE["url"],
            "completion_window": "24h",
        }
        return str(self._post("/v1/batches", json=body)["id"])

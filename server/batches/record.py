"""What is known of a batch, and where it is written down.

FOLDER/OWNER/batch_….json            the batch
FOLDER/OWNER/batch_….output.jsonl    answers, as they come
FOLDER/OWNER/batch_….errors.jsonl    requests that failed, as they fail
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from server.errors import NotFound
from server.files import making_room, owned, write_json

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
ENDED: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})


@dataclass(slots=True)
class Usage:
    """Tokens of all requests that were answered."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(slots=True)
class Batch:
    """at: when it got each status, in seconds since 1970, by the names of the wire."""

    id: str
    owner: str
    endpoint: str
    input_file_id: str
    created: float
    expires: float
    metadata: Mapping[str, str] | None = None
    output_lasts_s: float | None = None
    status: Status = "validating"
    at: dict[str, float] = field(default_factory=dict)
    model: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: Usage = field(default_factory=Usage)
    errors: list[dict[str, Any]] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Records:
    """The batches of all callers on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, batch: Batch) -> None:
        """Raises NoRoom."""
        path = self._path(batch, "json")
        with making_room():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(path, asdict(batch))

    def answers(self, batch: Batch) -> Path:
        return self._path(batch, "output.jsonl")

    def faults(self, batch: Batch) -> Path:
        return self._path(batch, "errors.jsonl")

    def has_results(self, batch: Batch) -> bool:
        return self.answers(batch).is_file() or self.faults(batch).is_file()

    def forget_results(self, batch: Batch) -> None:
        self.answers(batch).unlink(missing_ok=True)
        self.faults(batch).unlink(missing_ok=True)

    def delete(self, batch: Batch) -> None:
        self._path(batch, "json").unlink(missing_ok=True)
        self.forget_results(batch)

    def load(self) -> Iterator[Batch]:
        """All of them."""
        for path in self._folder.glob("*/batch_*.json"):
            values = json.loads(path.read_text(encoding="utf-8"))
            yield Batch(**values | {"usage": Usage(**values["usage"])})

    def _path(self, batch: Batch, ending: str) -> Path:
        return owned(self._folder, batch.owner) / f"{batch.id}.{ending}"


def not_found(id: str) -> NotFound:
    return NotFound(f"There is no batch {id[:60]!r}.", param="batch_id", code="batch_not_found")

"""What is known of a batch, and where it is written down.

batches/OWNER/batch_….json            the batch
batches/OWNER/batch_….output.jsonl    answers, as they come
batches/OWNER/batch_….errors.jsonl    requests that failed, as they fail

They lie in the folder of the files, and in their form: in clear or sealed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from server.errors import NotFound, Unreadable
from server.files import Folder, owned

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings")

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

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._path = folder.path / "batches"

    def save(self, batch: Batch) -> None:
        """Raises NoRoom."""
        path = self._file(batch, "json")
        self._folder.make(path.parent)
        self._folder.write_json(path, asdict(batch))

    def answers(self, batch: Batch) -> Path:
        return self._file(batch, "output.jsonl")

    def faults(self, batch: Batch) -> Path:
        return self._file(batch, "errors.jsonl")

    def append(self, log: Path, entry: Mapping[str, Any]) -> None:
        """Raises NoRoom, with nothing of it written."""
        self._folder.append(log, json.dumps(entry).encode() + b"\n")

    def entries(self, log: Path) -> Iterator[dict[str, Any]]:
        """What was appended, but for what a crash left of an entry. Raises Unreadable."""
        return map(json.loads, self._folder.appended(log))

    def has_results(self, batch: Batch) -> bool:
        return self.answers(batch).is_file() or self.faults(batch).is_file()

    def forget_results(self, batch: Batch) -> None:
        self.answers(batch).unlink(missing_ok=True)
        self.faults(batch).unlink(missing_ok=True)

    def delete(self, batch: Batch) -> None:
        self._file(batch, "json").unlink(missing_ok=True)
        self.forget_results(batch)

    def load(self) -> Iterator[Batch]:
        """All that can be read; the files have been looked through."""
        for path in self._path.glob("*/batch_*.json"):
            with suppress(Unreadable, ValueError):
                values = self._folder.json(path)
                yield Batch(**values | {"usage": Usage(**values["usage"])})

    def _file(self, batch: Batch, ending: str) -> Path:
        return owned(self._path, batch.owner) / f"{batch.id}.{ending}"


def not_found(id: str) -> NotFound:
    return NotFound(f"There is no batch {id[:60]!r}.", param="batch_id", code="batch_not_found")

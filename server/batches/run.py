"""One batch under way: its requests, some at a time, each answered as a client's would be."""

import asyncio
import secrets
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from server.batches.lines import Line, lines
from server.batches.record import Batch, Records
from server.errors import RequestError

_LATER = frozenset({429, 503})  # what a client would try again
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_UNSAID = {
    "batch_expired": "This request was not answered before the batch expired.",
    "batch_cancelled": "This request was not answered before the batch was cancelled.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request of a batch was answered; retry_after_s: where it is worth another try."""

    status: int
    request_id: str
    body: Any
    retry_after_s: float | None = None


class Call(Protocol):
    """Asks the server as a caller would, in the background."""

    async def __call__(self, path: str, body: bytes, caller: str) -> Answer: ...


class Run:
    """Answers a batch's requests that have no answer yet. source: opens the batch's file.
    together: so many at a time."""

    def __init__(
        self,
        batch: Batch,
        source: Callable[[], BinaryIO],
        records: Records,
        call: Call,
        together: asyncio.Semaphore,
    ) -> None:
        self._batch = batch
        self._source = source
        self._records = records
        self._call = call
        self._together = together

    async def answer_all(self) -> None:
        """Until every request has its answer; what is cancelled or expired has those it has.

        Raises NoRoom where an answer cannot be written down, NotFound where the file has gone, and
        Unreadable.
        """
        rest = await asyncio.to_thread(self._left)
        try:
            async with asyncio.TaskGroup() as group:
                for line in rest:
                    await self._together.acquire()
                    task = group.create_task(self._answer(line))
                    task.add_done_callback(lambda _: self._together.release())
        except ExceptionGroup as errors:
            if (known := errors.subgroup(RequestError)) is not None:
                raise known.exceptions[0] from errors
            raise

    async def give_up_rest(self, code: str) -> None:
        """Writes a line for every request that was not answered."""
        faults = self._records.faults(self._batch)

        def write() -> None:
            for line in self._left():
                error = {"code": code, "message": _UNSAID[code]}
                self._records.append(faults, _entry(line, None, error))

        await asyncio.to_thread(write)

    def _left(self) -> Iterator[Line]:
        done = {
            entry["custom_id"]
            for path in (self._records.answers(self._batch), self._records.faults(self._batch))
            for entry in self._records.entries(path)
        }
        return self._others(done)

    def _others(self, done: Container[str]) -> Iterator[Line]:
        with self._source() as source:
            yield from (line for line in lines(source) if line.custom_id not in done)

    async def _answer(self, line: Line) -> None:
        answer = await self._patiently(line)
        batch, good = self._batch, answer.status < 400
        response = {
            "status_code": answer.status,
            "request_id": answer.request_id,
            "body": answer.body,
        }
        path = self._records.answers(batch) if good else self._records.faults(batch)
        self._records.append(path, _entry(line, response, None))
        if good:
            batch.completed += 1
            count(batch, answer.body)
        else:
            batch.failed += 1

    async def _patiently(self, line: Line) -> Answer:
        pause = _PAUSE_S
        while True:
            answer = await self._call(self._batch.endpoint, line.body, self._batch.owner)
            if answer.status not in _LATER:
                return answer
            await asyncio.sleep(max(pause, answer.retry_after_s or 0))
            pause = min(2 * pause, _LONGEST_PAUSE_S)


def _entry(line: Line, response: Any, error: Any) -> dict[str, Any]:
    return {
        "id": f"batch_req_{secrets.token_hex(16)}",
        "custom_id": line.custom_id,
        "response": response,
        "error": error,
    }


def count(batch: Batch, body: Any) -> None:
    """Adds an answer's usage, as chats, completions, embeddings or responses tell it."""
    given = body.get("usage") or {}
    usage = batch.usage
    usage.input_tokens += given.get("prompt_tokens", given.get("input_tokens", 0))
    usage.output_tokens += given.get("completion_tokens", given.get("output_tokens", 0))
    into = given.get("prompt_tokens_details") or given.get("input_tokens_details") or {}
    out = given.get("completion_tokens_details") or given.get("output_tokens_details") or {}
    usage.cached_tokens += into.get("cached_tokens", 0)
    usage.reasoning_tokens += out.get("reasoning_tokens", 0)


def recount(batch: Batch, records: Records) -> None:
    """Counts again what is on disk, for a batch that goes on after a restart."""
    batch.completed = batch.failed = 0
    batch.usage = type(batch.usage)()
    for entry in records.entries(records.answers(batch)):
        batch.completed += 1
        count(batch, entry["response"]["body"])
    batch.failed = sum(1 for _ in records.entries(records.faults(batch)))

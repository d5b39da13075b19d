"""All batches: created, asked for, cancelled; each takes its course until it has ended."""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import get_args

from server.batches.course import Course
from server.batches.ledger import Ledger
from server.batches.record import Batch, Status, not_found
from server.batches.run import Call, recount
from server.errors import InvalidRequest, NotFound, Unreadable
from server.files import FileStore

log = logging.getLogger(__name__)

WINDOW_S = 24 * 3600.0
_TIDY_S = 60.0
_DAY_S = 86400.0


class Batches:
    """Belongs to one event loop. together: requests of all batches that run at a time. days: how
    long one that has ended is kept, with the files it made; 0 is for ever.

    What is under way when the server stops goes on when it starts again with the same folder;
    no request that has its answer is asked again.
    """

    def __init__(
        self,
        files: FileStore,
        *,
        together: int = 1,
        window_s: float = WINDOW_S,
        days: float = 0.0,
    ) -> None:
        self.call: Call | None = None
        self._files = files
        self._ledger = Ledger(files)
        self._together = asyncio.Semaphore(together)
        self._window_s, self._days = window_s, days
        self._batches: dict[str, Batch] = {}
        self._stopping = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._tidying: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on with what another run of the server has begun; call from the event loop."""
        self._tidying = asyncio.create_task(self._tidy_always())
        if not self._files.lasts:
            return
        for batch in self._ledger.records.load():
            self._batches[batch.id] = batch
            if not batch.ended:
                with suppress(Unreadable):  # which will be told as the batch's end
                    recount(batch, self._ledger.records)
                self._begin(batch)
            elif self._ledger.records.has_results(batch):
                self._ledger.unwritten.add(batch.id)

    async def stop(self) -> None:
        """Leave what is under way as it is."""
        self._stopping = True
        tasks = [*self._tasks.values(), *filter(None, [self._tidying])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def create(
        self,
        owner: str,
        endpoint: str,
        input_file_id: str,
        *,
        metadata: Mapping[str, str] | None = None,
        output_lasts_s: float | None = None,
    ) -> Batch:
        """Raises InvalidRequest where there is no such file, or it is for something else, and
        NoRoom."""
        try:
            purpose = self._files.get(owner, input_file_id).purpose
        except NotFound as error:
            raise InvalidRequest(
                error.message, param="input_file_id", code="file_not_found"
            ) from None
        if purpose != "batch":
            message = f"input_file_id names a file for {purpose!r}, not one for 'batch'."
            raise InvalidRequest(message, param="input_file_id", code="invalid_value")
        now = time.time()
        batch = Batch(
            id=f"batch_{secrets.token_hex(16)}",
            owner=owner,
            endpoint=endpoint,
            input_file_id=input_file_id,
            created=now,
            expires=now + self._window_s,
            metadata=metadata,
            output_lasts_s=output_lasts_s,
        )
        self._ledger.records.save(batch)
        self._batches[batch.id] = batch
        self._begin(batch)
        return batch

    def counts(self) -> Mapping[str, int]:
        """How many batches of all callers have each status."""
        found = Counter(batch.status for batch in self._batches.values())
        return {status: found[status] for status in get_args(Status)}

    def get(self, owner: str, id: str) -> Batch:
        """Raises NotFound, also for batches of others."""
        batch = self._batches.get(id)
        if batch is None or batch.owner != owner:
            raise not_found(id)
        return batch

    def list(self, owner: str) -> list[Batch]:
        """All of an owner, the newest first."""
        own = (batch for batch in self._batches.values() if batch.owner == owner)
        return sorted(own, key=lambda batch: (-batch.created, batch.id))

    def cancel(self, owner: str, id: str) -> Batch:
        """Ask for its end. Raises NotFound, or InvalidRequest where it has ended already."""
        batch = self.get(owner, id)
        if batch.ended or batch.status == "finalizing":
            raise InvalidRequest(
                f"The batch has the status {batch.status!r}, so that there is nothing to cancel.",
                param="batch_id",
                code="invalid_value",
            )
        if batch.status != "cancelling":
            self._ledger.turn(batch, "cancelling")
            self._tasks[id].cancel()
        return batch

    def _begin(self, batch: Batch) -> None:
        assert self.call is not None
        course = Course(batch, self._files, self._ledger, self.call, self._together)
        task = asyncio.create_task(course.run())
        self._tasks[batch.id] = task
        task.add_done_callback(lambda _: self._ended(batch, task))

    def _ended(self, batch: Batch, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(batch.id) is task:
            del self._tasks[batch.id]
        if task.cancelled() and batch.status == "cancelling" and not self._stopping:
            # A task that was cancelled does nothing more: another one ends the batch.
            self._begin(batch)

    async def _tidy_always(self) -> None:
        while True:
            try:
                await self.tidy()
            except Exception:
                log.exception("files or batches could not be tidied")
            await asyncio.sleep(_TIDY_S)

    async def tidy(self) -> None:
        """Write what there was no room for, and forget what is past its time."""
        for batch in [self._batches[id] for id in self._ledger.unwritten if id in self._batches]:
            await self._ledger.write_again(batch)
        old = time.time() - self._days * _DAY_S
        for batch in list(self._batches.values()):
            if self._days and batch.ended and max(batch.at.values()) < old:
                del self._batches[batch.id]
                self._ledger.unwritten.discard(batch.id)
                await asyncio.to_thread(self._ledger.forget, batch)
        await asyncio.to_thread(self._files.prune)

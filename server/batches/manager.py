"""All batches: created, asked for, cancelled; each runs until it has ended or expired."""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, get_args

from server.batches.lines import Checked, check, fault
from server.batches.record import Batch, Records, Status, not_found
from server.batches.run import Call, Run, recount
from server.errors import InvalidRequest, NoRoom, NotFound, RequestError, Unreadable
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
        self._together = asyncio.Semaphore(together)
        self._window_s, self._days = window_s, days
        self._batches: dict[str, Batch] = {}
        self._stopping = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unwritten: set[str] = set()  # whose last change is not on disk, for want of room
        self._tidying: asyncio.Task[None] | None = None

    @property
    def _records(self) -> Records:
        return Records(self._files.folder)

    def start(self) -> None:
        """Go on with what another run of the server has begun; call from the event loop."""
        self._tidying = asyncio.create_task(self._tidy_always())
        if not self._files.lasts:
            return
        for batch in self._records.load():
            self._batches[batch.id] = batch
            if not batch.ended:
                with suppress(Unreadable):  # which will be told as the batch's end
                    recount(batch, self._records)
                self._begin(batch)
            elif self._records.has_results(batch):
                self._unwritten.add(batch.id)

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
        self._records.save(batch)
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
            self._turn(batch, "cancelling")
            self._tasks[id].cancel()
        return batch

    def _begin(self, batch: Batch) -> None:
        task = asyncio.create_task(self._run(batch))
        self._tasks[batch.id] = task
        task.add_done_callback(lambda _: self._ended(batch, task))

    def _ended(self, batch: Batch, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(batch.id) is task:
            del self._tasks[batch.id]
        if task.cancelled() and batch.status == "cancelling" and not self._stopping:
            # A task that was cancelled does nothing more: another one ends the batch.
            self._begin(batch)

    async def _run(self, batch: Batch) -> None:
        try:
            await self._go(batch)
        except RequestError as error:
            await self._fail(batch, error.code or "invalid_value", error.message)
        except Exception:
            log.exception("a batch broke")
            await self._fail(batch, "internal_error", "The server failed to run this batch.")

    async def _fail(self, batch: Batch, code: str, message: str) -> None:
        """With the answers it has."""
        batch.errors.append(fault(code, message))
        await self._finish(batch, "failed")

    async def _go(self, batch: Batch) -> None:
        self._files.get(batch.owner, batch.input_file_id)
        source = partial(self._files.open, batch.owner, batch.input_file_id)
        if batch.status == "validating":
            await self._validate(batch, source)
        assert self.call is not None
        run = Run(batch, source, self._records, self.call, self._together)
        if batch.status == "in_progress":
            await self._answer(batch, run)
        if batch.status == "cancelling":
            if "in_progress" in batch.at:  # its file is known to be good
                await run.give_up_rest("batch_cancelled")
            await self._finish(batch, "cancelled")
        elif batch.status == "finalizing":
            await self._finish(batch, "completed")

    async def _validate(self, batch: Batch, source: Callable[[], BinaryIO]) -> None:
        def look() -> Checked:
            with source() as opened:
                return check(opened, batch.endpoint)

        found = await asyncio.to_thread(look)
        batch.total, batch.model, batch.errors = found.total, found.model, found.faults
        self._turn(batch, "failed" if found.faults else "in_progress")

    async def _answer(self, batch: Batch, run: Run) -> None:
        try:
            async with asyncio.timeout(batch.expires - time.time()):
                await run.answer_all()
        except TimeoutError:
            await run.give_up_rest("batch_expired")
            await self._finish(batch, "expired")
        else:
            self._turn(batch, "finalizing")

    async def _finish(self, batch: Batch, status: Status) -> None:
        """Raises NoRoom or Unreadable where it would be completed, without its results."""
        try:
            await self._gather(batch)
        except (NoRoom, Unreadable):
            if status == "completed":
                raise
            self._unwritten.add(batch.id)
        if status != "completed":
            batch.failed = batch.total - batch.completed
        self._turn(batch, status)
        if batch.id not in self._unwritten:
            self._records.forget_results(batch)

    async def _gather(self, batch: Batch) -> None:
        """Makes files of what was written. Raises NoRoom, and Unreadable."""
        answers, faults = self._records.answers(batch), self._records.faults(batch)
        if batch.output_file_id is None:
            batch.output_file_id = await asyncio.to_thread(self._keep, batch, answers, "output")
        if batch.error_file_id is None:
            batch.error_file_id = await asyncio.to_thread(self._keep, batch, faults, "error")

    def _keep(self, batch: Batch, path: Path, kind: str) -> str | None:
        if not path.is_file() or not path.stat().st_size:
            return None
        name, lasts_s = f"{batch.id}_{kind}.jsonl", batch.output_lasts_s
        return self._files.adopt(
            batch.owner, path, filename=name, purpose="batch_output", lasts_s=lasts_s
        ).id

    def _turn(self, batch: Batch, status: Status) -> None:
        """At once, and on disk as soon as there is room."""
        batch.status = status
        batch.at[status] = time.time()
        try:
            self._records.save(batch)
        except NoRoom:
            if batch.id not in self._unwritten:
                log.warning("a batch cannot be written down for now: the disk is full")
            self._unwritten.add(batch.id)

    async def _tidy_always(self) -> None:
        while True:
            try:
                await self.tidy()
            except Exception:
                log.exception("files or batches could not be tidied")
            await asyncio.sleep(_TIDY_S)

    async def tidy(self) -> None:
        """Write what there was no room for, and forget what is past its time."""
        for batch in [self._batches[id] for id in self._unwritten if id in self._batches]:
            await self._write_again(batch)
        old = time.time() - self._days * _DAY_S
        for batch in list(self._batches.values()):
            if self._days and batch.ended and max(batch.at.values()) < old:
                del self._batches[batch.id]
                self._unwritten.discard(batch.id)
                await asyncio.to_thread(self._forget, batch)
        await asyncio.to_thread(self._files.prune)

    async def _write_again(self, batch: Batch) -> None:
        try:
            if batch.ended:
                await self._gather(batch)
            self._records.save(batch)
        except (NoRoom, Unreadable):
            return
        self._unwritten.discard(batch.id)
        if batch.ended:
            self._records.forget_results(batch)

    def _forget(self, batch: Batch) -> None:
        for id in filter(None, (batch.output_file_id, batch.error_file_id)):
            with suppress(NotFound):  # deleted, or past its own time
                self._files.delete(batch.owner, id)
        self._records.delete(batch)

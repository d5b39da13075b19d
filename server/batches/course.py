"""The course of one batch: its file looked through, its requests answered, and its end."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

from server.batches.ledger import Ledger
from server.batches.lines import Checked, check, fault
from server.batches.record import Batch
from server.batches.run import Call, Run
from server.errors import RequestError
from server.files import FileStore

log = logging.getLogger(__name__)


class Course:
    """From whatever status the batch has. together: requests of all batches that run at a time."""

    def __init__(
        self,
        batch: Batch,
        files: FileStore,
        ledger: Ledger,
        call: Call,
        together: asyncio.Semaphore,
    ) -> None:
        self._batch = batch
        self._files = files
        self._ledger = ledger
        self._call = call
        self._together = together

    async def run(self) -> None:
        """Until it has ended, as whatever it has come to; what is cancelled is left as it is."""
        try:
            await self._go()
        except RequestError as error:
            await self._fail(error.code or "invalid_value", error.message)
        except Exception:
            log.exception("a batch broke")
            await self._fail("internal_error", "The server failed to run this batch.")

    async def _fail(self, code: str, message: str) -> None:
        """With the answers it has."""
        self._batch.errors.append(fault(code, message))
        await self._ledger.finish(self._batch, "failed")

    async def _go(self) -> None:
        batch = self._batch
        self._files.get(batch.owner, batch.input_file_id)
        source = partial(self._files.open, batch.owner, batch.input_file_id)
        if batch.status == "validating":
            await self._validate(source)
        run = Run(batch, source, self._ledger.records, self._call, self._together)
        if batch.status == "in_progress":
            await self._answer(run)
        if batch.status == "cancelling":
            if "in_progress" in batch.at:  # its file is known to be good
                await run.give_up_rest("batch_cancelled")
            await self._ledger.finish(batch, "cancelled")
        elif batch.status == "finalizing":
            await self._ledger.finish(batch, "completed")

    async def _validate(self, source: Callable[[], BinaryIO]) -> None:
        batch = self._batch

        def look() -> Checked:
            with source() as opened:
                return check(opened, batch.endpoint)

        found = await asyncio.to_thread(look)
        batch.total, batch.model, batch.errors = found.total, found.model, found.faults
        self._ledger.turn(batch, "failed" if found.faults else "in_progress")

    async def _answer(self, run: Run) -> None:
        try:
            async with asyncio.timeout(self._batch.expires - time.time()):
                await run.answer_all()
        except TimeoutError:
            await run.give_up_rest("batch_expired")
            await self._ledger.finish(self._batch, "expired")
        else:
            self._ledger.turn(self._batch, "finalizing")

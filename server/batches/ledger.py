"""Batches on disk: their states, the files made of their results, and what waits for room."""

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path

from server.batches.record import Batch, Records, Status
from server.errors import NoRoom, NotFound, Unreadable
from server.files import FileStore

log = logging.getLogger(__name__)


class Ledger:
    """unwritten: batches whose last change, or results, are not on disk, for want of room."""

    def __init__(self, files: FileStore) -> None:
        self.unwritten: set[str] = set()
        self._files = files

    @property
    def records(self) -> Records:
        return Records(self._files.folder)

    def turn(self, batch: Batch, status: Status) -> None:
        """Gives it a status: at once, and on disk as soon as there is room."""
        batch.status = status
        batch.at[status] = time.time()
        try:
            self.records.save(batch)
        except NoRoom:
            if batch.id not in self.unwritten:
                log.warning("a batch cannot be written down for now: the disk is full")
            self.unwritten.add(batch.id)

    async def finish(self, batch: Batch, status: Status) -> None:
        """Raises NoRoom or Unreadable where it would be completed, without its results."""
        try:
            await self._gather(batch)
        except (NoRoom, Unreadable):
            if status == "completed":
                raise
            self.unwritten.add(batch.id)
        if status != "completed":
            batch.failed = batch.total - batch.completed
        self.turn(batch, status)
        if batch.id not in self.unwritten:
            self.records.forget_results(batch)

    async def _gather(self, batch: Batch) -> None:
        """Makes files of what was written. Raises NoRoom, and Unreadable."""
        answers, faults = self.records.answers(batch), self.records.faults(batch)
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

    async def write_again(self, batch: Batch) -> None:
        try:
            if batch.ended:
                await self._gather(batch)
            self.records.save(batch)
        except (NoRoom, Unreadable):
            return
        self.unwritten.discard(batch.id)
        if batch.ended:
            self.records.forget_results(batch)

    def forget(self, batch: Batch) -> None:
        for id in filter(None, (batch.output_file_id, batch.error_file_id)):
            with suppress(NotFound):  # deleted, or past its own time
                self._files.delete(batch.owner, id)
        self.records.delete(batch)

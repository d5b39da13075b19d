"""An index is made to say what the files say, some of them at a time, beside everything else.

Whoever changes the files and the index does this in the same thread, so that what was written,
pinned or deleted between two steps is seen by the later one. It has no memory of its own: a
process that is killed leaves an index of a part, and the next one reads what is missing.
"""

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import BinaryIO

from server.session.entry import Entry
from server.session.folder import FOLDERS, StateFolder
from server.session.index import Index
from server.session.keys import Key

log = logging.getLogger(__name__)

_STEP_S = 0.05  # of reading before what was read is written, in one transaction
_TELL_S = 5.0

Describe = Callable[[Key, BinaryIO], Entry]  # raises ValueError


class Reconciling:
    """describe: what a file was kept as, from no more of it than that takes."""

    def __init__(self, files: StateFolder, index: Index, describe: Describe) -> None:
        self._files, self._index, self._describe = files, index, describe
        self._steps: Generator[None, None, None] | None = None
        self._read = 0
        self._began = self._told = time.monotonic()
        self.over = False

    def go_on(self, seconds: float) -> bool:
        """For about so long; True if it is over. Raises HomeError; the next call begins again."""
        end = time.monotonic() + seconds
        steps, self._steps = self._steps or self._all(), None
        for _ in steps:
            if time.monotonic() >= end:
                self._steps = steps
                return False
        self.over = True
        if self._read:
            took = time.monotonic() - self._began
            log.info("the index has %d kept states again, after %.1f s", self._read, took)
        return True

    def _all(self) -> Generator[None, None, None]:
        self._index.round_up(self._files.block)  # of one that did not count whole blocks
        for number in range(FOLDERS):
            yield from self._folder(number)
            if self._read and time.monotonic() - self._told > _TELL_S:
                self._told = time.monotonic()
                done, read = 100 * (number + 1) // FOLDERS, self._read
                log.info("the index is made anew: %d %%, %d kept states read", done, read)

    def _folder(self, number: int) -> Generator[None, None, None]:
        there, known = self._files.listed(number), self._index.beginning_with(number)
        if known - there:
            self._index.delete(known - there)
        yield
        missing = sorted(there - known)
        while missing:
            self._add(missing)
            yield

    def _add(self, missing: list[Key]) -> None:
        """Some of them, from the end."""
        end, entries = time.monotonic() + _STEP_S, list[Entry]()
        written = self._index.beginning_with(missing[-1][0])  # since they were listed
        while missing and time.monotonic() < end:
            if (key := missing.pop()) not in written and (entry := self._described(key)):
                entries.append(entry)
        self._index.put(entries)
        self._read += len(entries)

    def _described(self, key: Key) -> Entry | None:
        """None for a file that is gone."""
        status = self._files.status(key)
        if status is None:
            return None
        try:
            with self._files.open(key) as file:
                entry = self._describe(key, file)
        except (ValueError, OSError):  # of another version or key: it is left to age
            entry = Entry(key, None, "", "", 0)
        size, pinned = self._files.takes(status.st_size), self._files.pinned(key)
        return replace(entry, nbytes=size, used=status.st_mtime, pinned=pinned)

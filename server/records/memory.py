"""Documents in host memory, within a budget of bytes."""

import json
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from server.records.base import Document, Name, TooLarge, packed
from server.records.edit import Edit, edited

_OVERHEAD = 512  # bytes that a document takes beside its text
_AT_ONCE = 4  # documents that are always kept: a conversation, its newest answer, its events


class MemoryRecords:
    """Serialised documents; the least recently used ones are evicted first.

    One has a quarter of the budget at most, so that it leaves those that were used just before.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.server = secrets.token_hex(8)
        self._budget, self._most = budget_bytes, budget_bytes // _AT_ONCE
        self._texts: OrderedDict[Name, bytes] = OrderedDict()
        self._kinds: dict[tuple[str, str], dict[str, None]] = {}  # ids in the order of their coming
        self.nbytes = 0
        self.evicted = 0  # documents, since the start

    def __len__(self) -> int:
        return len(self._texts)

    def put(self, owner: str, kind: str, id: str, document: Mapping[str, Any]) -> bool:
        return self.keep((owner, kind, id), packed(document))

    async def written(self, owner: str, kind: str, id: str) -> None:
        """There is nobody else."""

    async def get(self, owner: str, kind: str, id: str) -> Document | None:
        text = self.text((owner, kind, id))
        return None if text is None else json.loads(text)

    async def edit(self, owner: str, kind: str, id: str, *edits: Edit) -> Document | None:
        text = self.text((owner, kind, id))
        if text is None:
            return None
        document = edited(text, edits)
        if not self.fits_text(changed := packed(document)):
            raise TooLarge
        self.keep((owner, kind, id), changed)
        return document

    def fits(self, document: Mapping[str, Any]) -> bool:
        return self.fits_text(packed(document))

    def room(self, owner: str, kind: str, id: str) -> int:
        return self._most - (_nbytes(self._texts.get((owner, kind, id))) or _OVERHEAD)

    async def delete(self, owner: str, kind: str, id: str) -> None:
        self.forget((owner, kind, id))

    async def list(self, owner: str, kind: str, *, whole: bool = False) -> list[Document]:
        return [json.loads(self._texts[name]) for name in self.names_of(owner, kind)]

    async def elsewhere(self, server: str) -> bool:
        return False

    def fits_text(self, text: bytes) -> bool:
        return _nbytes(text) <= self._most

    def keep(self, name: Name, text: bytes) -> bool:
        """False for one that is too large."""
        if not self.fits_text(text):
            self.forget(name)  # a document that has grown must not be found as it was
            return False
        self._add(name, text)
        self._evict()
        return True

    def text(self, name: Name) -> bytes | None:
        """It is the most recently used then."""
        text = self._texts.get(name)
        if text is not None:
            self._texts.move_to_end(name)
        return text

    def names(self) -> Iterable[Name]:
        return self._texts.keys()

    def names_of(self, owner: str, kind: str) -> Sequence[Name]:
        """In the order of their coming."""
        return [(owner, kind, id) for id in self._kinds.get((owner, kind), ())]

    def forget(self, name: Name) -> None:
        text = self._texts.pop(name, None)
        if text is None:
            return
        owner, kind, id = name
        self.nbytes -= _nbytes(text)
        ids = self._kinds[owner, kind]
        del ids[id]
        if not ids:
            del self._kinds[owner, kind]

    def _restore(self, texts: Iterable[tuple[Name, bytes]], used: Iterable[Name]) -> None:
        """Take documents in the order of their coming, of which the last of `used` was last."""
        for name, text in texts:
            self._add(name, text)
        for name in used:
            self._texts.move_to_end(name)
        self._evict()

    def _add(self, name: Name, text: bytes) -> None:
        owner, kind, id = name
        self.nbytes += _nbytes(text) - _nbytes(self._texts.get(name))
        self._texts[name] = text
        self._texts.move_to_end(name)
        self._kinds.setdefault((owner, kind), {})[id] = None

    def _evict(self) -> None:
        while self.nbytes > self._budget:
            self.forget(next(iter(self._texts)))
            self.evicted += 1


def _nbytes(text: bytes | None) -> int:
    return 0 if text is None else len(text) + _OVERHEAD

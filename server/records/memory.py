"""Documents in host memory, within a budget of bytes."""

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from server.records.base import Document

_Name = tuple[str, str, str]
_OVERHEAD = 512  # bytes that a document takes beside its text


class MemoryRecords:
    """Serialised documents; the least recently used ones are evicted first."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._texts: OrderedDict[_Name, bytes] = OrderedDict()
        self._kinds: dict[tuple[str, str], dict[str, None]] = {}  # ids in the order of their coming
        self.nbytes = 0
        self.evicted = 0  # documents, since the start

    def __len__(self) -> int:
        return len(self._texts)

    def put(self, owner: str, kind: str, id: str, document: Mapping[str, Any]) -> bool:
        text = json.dumps(document, separators=(",", ":")).encode()
        if _nbytes(text) > self._budget:
            self.delete(owner, kind, id)  # a document that has grown must not be found as it was
            return False
        name = (owner, kind, id)
        self._add(name, text)
        self._evict()
        return True

    async def get(self, owner: str, kind: str, id: str) -> Document | None:
        text = self._texts.get((owner, kind, id))
        if text is None:
            return None
        self._texts.move_to_end((owner, kind, id))
        document: Document = json.loads(text)
        return document

    def delete(self, owner: str, kind: str, id: str) -> None:
        text = self._texts.pop((owner, kind, id), None)
        if text is None:
            return
        self.nbytes -= _nbytes(text)
        ids = self._kinds[owner, kind]
        del ids[id]
        if not ids:
            del self._kinds[owner, kind]

    def _restore(self, texts: Iterable[tuple[_Name, bytes]], used: Iterable[_Name]) -> None:
        """Take documents in the order of their coming, of which the last of `used` was last."""
        for name, text in texts:
            self._add(name, text)
        for name in used:
            self._texts.move_to_end(name)
        self._evict()

    def _add(self, name: _Name, text: bytes) -> None:
        owner, kind, id = name
        self.nbytes += _nbytes(text) - _nbytes(self._texts.get(name))
        self._texts[name] = text
        self._texts.move_to_end(name)
        self._kinds.setdefault((owner, kind), {})[id] = None

    def _evict(self) -> None:
        while self.nbytes > self._budget:
            self.delete(*next(iter(self._texts)))
            self.evicted += 1

    async def list(self, owner: str, kind: str) -> list[Document]:
        ids = self._kinds.get((owner, kind), ())
        return [json.loads(self._texts[owner, kind, id]) for id in ids]


def _nbytes(text: bytes | None) -> int:
    return 0 if text is None else len(text) + _OVERHEAD

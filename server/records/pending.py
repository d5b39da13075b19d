"""What a shared store has yet to be told of a document, as a value that can wait on disk.

The text of a shared document begins with its stamp, which grows with every change, whoever makes
it: of two versions the later one counts.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from server.records.base import Document, packed
from server.records.edit import Edit, edited

_KEY = "stamp"
_STAMP = re.compile(rb'\{"stamp":(\d+)')


@dataclass(frozen=True, slots=True)
class Pending:
    """The store is to have what is here, if that is later, and these edits; or gone: nothing."""

    edits: tuple[Edit, ...] = ()
    gone: bool = False

    def then(self, later: "Pending") -> "Pending":
        """Both, one after the other."""
        return later if later.gone else Pending((*self.edits, *later.edits))

    def onto(self, there: bytes | None, here: bytes | None) -> bytes | None:
        """What the store is to have, from what it has and what this server has."""
        base = here if there is None or (here and stamp_of(here) > stamp_of(there)) else there
        if base is None or not self.edits:
            return base
        before, document = json.loads(base), edited(base, self.edits)
        return base if document == before else stamped(document, stamp_of(base))

    def dump(self) -> bytes:
        return packed(asdict(self))


def load_pending(text: bytes) -> Pending:
    fields = json.loads(text)
    edits = (Edit(one["do"], tuple(one["path"]), one["value"]) for one in fields["edits"])
    return Pending(tuple(edits), fields["gone"])


def stamped(document: Mapping[str, Any], earlier: int = 0) -> bytes:
    """Its text, with a stamp that is later than another."""
    stamp = max(time.time_ns(), earlier + 1)
    return packed({_KEY: stamp} | {key: document[key] for key in document if key != _KEY})


def stamp_of(text: bytes | None) -> int:
    """0 for what no server has shared yet."""
    found = _STAMP.match(text or b"")
    return int(found[1]) if found else 0


def unstamped(text: bytes) -> Document:
    """The document of a text."""
    document: Document = json.loads(text)
    document.pop(_KEY, None)
    return document

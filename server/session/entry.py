"""What is known of a kept snapshot without reading it."""

import hashlib
from dataclasses import dataclass

from server.session.keys import Key

PATH_STEP = 8
Owner = tuple[str, str]  # the fingerprint of what turns ids into states, and the caller


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept snapshot: what lists, forks, pins and deletions are made from.

    owner: the caller as a hash (owner_name). parent: the key of the snapshot it continues.
    tokens: that were fed. turns: answers in it. nbytes: in its tier, as the budget counts it.
    plain: a text that is no conversation, under the key of its ids. tier: memory, disk or shared.
    used: seconds since 1970. path: names of the questions and answers that led here, in turn, of
    PATH_STEP bytes each; the first names the session.
    """

    key: Key
    parent: Key | None
    fingerprint: str
    owner: str
    tokens: int
    turns: int = 0
    plain: bool = False
    nbytes: int = 0
    used: float = 0.0
    pinned: bool = False
    tier: str = "memory"
    path: bytes = b""


def owner_name(caller: str) -> str:
    """What stands for a caller where entries are kept."""
    return hashlib.blake2b(caller.encode(), digest_size=16, person=b"owner").hexdigest()

"""Threads of the native library that choose and score for many sequences at once."""

import weakref

from models.native.library import library


class Team:
    """They sleep while there is nothing to do, and end with the object; one thread calls at a time.

    threads: how many in all, the caller among them. Made only where the library is available.
    """

    def __init__(self, threads: int) -> None:
        loaded = library()
        assert loaded is not None
        self.handle = loaded.rwkv_team_new(threads)
        if not self.handle:
            raise MemoryError(f"{threads} threads could not be started")
        weakref.finalize(self, loaded.rwkv_team_free, self.handle)

"""Snapshots as bytes: what comes back, and what it costs while others wait."""

import tracemalloc

from server.session import Entry
from server.session.codec import decode, encode
from tests.server.session.states import same, snapshot

LONG = range(1000, 33_000)


def test_a_snapshot_comes_back_as_it_was() -> None:
    for fed in ([5], LONG):
        kept = snapshot(*fed)
        entry, found = decode(encode(Entry(b"key", None, "model", "ann", kept.tokens), kept))
        assert same(found, kept)
        assert entry.key == b"key"


def test_ids_are_packed_without_a_number_of_python_for_each() -> None:
    """Making so many holds the interpreter for milliseconds, in which nobody else answers."""
    kept = snapshot(*LONG)
    tracemalloc.start()
    try:
        encode(Entry(b"key", None, "model", "ann", kept.tokens), kept)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * kept.fed.nbytes

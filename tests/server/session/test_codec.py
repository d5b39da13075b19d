"""Snapshots as bytes: what comes back, and what it costs while others wait."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.base import State
from server.engine.snapshot import FedIds, Lines, Snapshot
from server.session import Entry
from server.session.codec import CodecError, decode, encode
from tests.server.session.states import same, snapshot

LONG = range(1000, 33_000)
ENTRY = Entry(b"k" * 32, b"j" * 32, "model", "ann", 3, turns=2)


def test_a_snapshot_comes_back_as_it_was() -> None:
    for fed in ([5], LONG):
        kept = replace(snapshot(*fed), told=Lines(b"odd"))
        entry, found = decode(b"".join(encode(ENTRY, kept)))
        assert same(found, kept)
        assert found.told.to_bytes() == b"odd"
        assert replace(entry, nbytes=0) == ENTRY


def test_a_snapshot_of_the_first_version_is_still_read() -> None:
    """The file is one that was written by it."""
    entry, found = decode(Path(__file__).with_name("version-1.state").read_bytes())
    assert same(found, snapshot(1, 2, 3))
    assert found.told.to_bytes() == b'["told"]'
    assert replace(entry, nbytes=0) == ENTRY


@pytest.mark.parametrize("version", [1, 2])
def test_a_bit_that_flips_behind_the_header_is_damage(version: int) -> None:
    old = Path(__file__).with_name("version-1.state").read_bytes()
    whole = old if version == 1 else b"".join(encode(ENTRY, snapshot(1, 2, 3)))
    for at in range(8 + int.from_bytes(whole[:8], "little"), len(whole)):
        data = bytearray(whole)
        data[at] ^= 16
        with pytest.raises(CodecError, match="damaged"):
            decode(bytes(data))


def test_numbers_of_every_length_are_found_where_they_may_be() -> None:
    """Halves of an odd count do not move what has longer numbers off its place."""
    state = State(*(torch.randn(1, 1, 7) for _ in range(3)))
    kept = Snapshot(state, torch.randn(5), FedIds([1]), Lines(b"odd"))
    _, found = decode(b"".join(encode(ENTRY, kept, "bf16")))
    assert torch.equal(found.state.wkv, state.wkv.bfloat16().float())
    assert torch.equal(found.logits, kept.logits)


def test_no_state_is_copied_to_be_written() -> None:
    state = State(torch.zeros(1, 1, 8), torch.zeros(1, 1000, 8), torch.zeros(1, 1, 8))
    _, *bodies = encode(ENTRY, Snapshot(state, torch.zeros(4), FedIds([1])))
    places = [torch.frombuffer(body, dtype=torch.uint8).data_ptr() for body in bodies]
    assert all(tensor.data_ptr() in places for tensor in state.tensors)


def test_ids_are_packed_without_a_number_of_python_for_each() -> None:
    """Making so many holds the interpreter for milliseconds, in which nobody else answers."""
    kept = snapshot(*LONG)
    tracemalloc.start()
    try:
        encode(ENTRY, kept)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * kept.fed.nbytes

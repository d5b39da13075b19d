"""Files that are no sessions, or lie: they are refused, and nothing of them is kept."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.api.sessions.callers import Caller, callers


def header(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return found


def body(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


def packed(head: Any, rest: bytes) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + rest


def changed(data: bytes, name: str, **fields: Any) -> bytes:
    head = header(data)
    head[name] |= fields
    return packed(head, body(data))


def nan(data: bytes) -> bytes:
    """With a number that is none, and a digest that fits."""
    rest = b"\x00\x00\xc0\x7f" + body(data)[4:]
    digest = hashlib.blake2b(rest, digest_size=16).hexdigest()
    return changed(packed(header(data), rest), "__metadata__", digest=digest)


def retold(data: bytes, told: bytes) -> bytes:
    """With other messages of the same length, and a digest that fits."""
    rest = body(data)
    begin, end = header(data)["0.told"]["data_offsets"]
    rest = rest[:begin] + told.ljust(end - begin)[: end - begin] + rest[end:]
    digest = hashlib.blake2b(rest, digest_size=16).hexdigest()
    return changed(packed(header(data), rest), "__metadata__", digest=digest)


HOSTILE = {
    "nothing": lambda d: b"",
    "another format": lambda d: b"PK\x03\x04" + d,
    "a pickle": lambda d: b"\x80\x04\x95" + bytes(60),
    "truncated": lambda d: d[:-1],
    "only a header": lambda d: d[: -len(body(d))],
    "half a header": lambda d: d[:40],
    "more than it says": lambda d: d + b"!",
    "a huge header": lambda d: (2**62).to_bytes(8, "little") + d[8:],
    "an empty header": lambda d: bytes(8) + d,
    "a header that is no JSON": lambda d: packed(b"{" * 500, body(d)),
    "a deep header": lambda d: packed(b"[" * 200_000, body(d)),
    "a header that is a list": lambda d: packed([], body(d)),
    "no metadata": lambda d: packed({}, body(d)),
    "metadata that are a list": lambda d: packed(header(d) | {"__metadata__": []}, body(d)),
    "a number that is none": lambda d: packed(b'{"a": NaN}', body(d)),
    "a name twice": lambda d: packed(
        json.dumps(header(d)).encode()[:-1] + b', "0.wkv": {}}', body(d)
    ),
    "another version": lambda d: changed(d, "__metadata__", version="2"),
    "a version that is a number": lambda d: changed(d, "__metadata__", version=1),
    "a longer metadata": lambda d: changed(d, "__metadata__", path="../../etc/passwd"),
    "many snapshots": lambda d: changed(d, "__metadata__", snapshots="99999"),
    "no snapshots": lambda d: changed(d, "__metadata__", snapshots="0"),
    "snapshots below nothing": lambda d: changed(d, "__metadata__", snapshots="-1"),
    "another digest": lambda d: changed(d, "__metadata__", digest="00" * 16),
    "an unknown pin": lambda d: changed(d, "__metadata__", pinned="yes"),
    "another type": lambda d: changed(d, "0.wkv", dtype="I64"),
    "a type that is none": lambda d: changed(d, "0.wkv", dtype=["F32"]),
    "half a type": lambda d: changed(d, "0.logits", dtype="F16"),
    "another shape": lambda d: changed(d, "0.wkv", shape=[2, 1, 2, 64, 16]),
    "a shape below nothing": lambda d: changed(d, "0.fed", shape=[-1]),
    "a shape of truths": lambda d: changed(d, "0.fed", shape=[True]),
    "a huge shape": lambda d: changed(d, "0.fed", shape=[2**39], data_offsets=[0, 2**41]),
    "a lying place": lambda d: changed(d, "0.logits", data_offsets=[0, 2048]),
    "a place beyond": lambda d: changed(d, "0.told", data_offsets=[2**39, 2**39 + 8]),
    "a tensor too many": lambda d: packed(header(d) | {"../../x": header(d)["0.fed"]}, body(d)),
    "a changed byte": lambda d: d[:-1] + bytes([d[-1] ^ 1]),
    "a state that is none": nan,
    "messages that are none": lambda d: retold(d, b"hello"),
    "messages of another version": lambda d: retold(d, b'{"version":9,"messages":[],"tools":[]}'),
    "no messages": lambda d: retold(d, b'{"version":1,"messages":[],"tools":[]}'),
    "no answer": lambda d: retold(
        d, b'{"version":1,"messages":[{"role":"user","content":"a"}],"tools":[]}'
    ),
    "an unknown role": lambda d: retold(
        d, b'{"version":1,"messages":[{"role":"root","content":"a"}],"tools":[]}'
    ),
}


@pytest.fixture(scope="module")
def told(path: Path) -> Iterator[tuple[Caller, bytes]]:
    """A server, and a good file of it."""
    with callers(path) as (ann, _):
        ann.talk("Hello, this is a question that is long enough for what the tests put here.")
        data = ann.export()
        ann.delete(f"/v1/sessions/{ann.tree()['id']}")
        yield ann, data


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_is_kept(
    told: tuple[Caller, bytes], name: str
) -> None:
    ann, data = told
    error = ann.bring(HOSTILE[name](data), 400)["error"]
    assert error["code"] == "invalid_session_file", error
    assert ann.sessions() == []


def test_the_file_that_hostile_ones_are_made_of_is_taken(told: tuple[Caller, bytes]) -> None:
    ann, data = told
    assert ann.bring(data)["snapshots"] == 1
    ann.delete(f"/v1/sessions/{ann.tree()['id']}")

"""What is pinned stays, within bounds."""

import re
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.server.api.sessions.callers import Caller, callers

BUDGET = 60 * 4096  # bytes: of some ten states


def test_a_pinned_state_is_not_evicted(path: Path) -> None:
    with callers(path, sessions__memory_bytes=300_000) as (ann, _):
        ann.talk("Hello")
        id = ann.sessions()[0]["id"]
        assert ann.post(f"/v1/sessions/{id}/pin", json={})["pinned"]
        for number in range(30):
            ann.talk(f"Other {number}")
        assert ann.app.context.manager._store.evicted > 0
        assert id in {one["id"] for one in ann.sessions()}
        assert not ann.post(f"/v1/sessions/{id}/unpin", json={})["pinned"]
        for number in range(30):
            ann.talk(f"Else {number}")
        assert id not in {one["id"] for one in ann.sessions()}


def test_one_caller_cannot_pin_everything(path: Path) -> None:
    with callers(path, sessions__memory_bytes=300_000) as (ann, _):
        codes = []
        for number in range(20):
            ann.talk(f"Hello {number}")
            newest = ann.sessions()[0]["id"]
            response = ann.http.post(f"/v1/sessions/{newest}/pin", json={})
            codes.append(response.json().get("error", {}).get("code"))
        assert codes[0] is None
        assert codes[-1] == "pin_limit_exceeded"
        assert 0 < ann.app.context.manager._store.pinned_nbytes <= 150_000


def test_a_pinned_session_is_pinned_where_it_comes_to(both: tuple[Caller, Caller]) -> None:
    ann, bob = both
    ann.talk("Hello")
    ann.post(f"/v1/sessions/{ann.tree()['id']}/pin", json={})
    assert bob.bring(ann.export())["pinned"]
    assert bob.sessions()[0]["pinned"]


def test_a_pin_is_taken_back_where_the_conversation_went_on_meanwhile(ann: Caller) -> None:
    said = ann.talk("Hello")
    id = ann.tree()["id"]
    ann.post(f"/v1/sessions/{id}/pin", json={})
    ann.say(*said, "One?")
    assert not ann.post(f"/v1/sessions/{id}/unpin", json={})["pinned"]


@pytest.mark.usefixtures("all_written")
def test_all_callers_together_leave_half_of_the_disk(path: Path, tmp_path: Path) -> None:
    kept = {"sessions__archive": True, "sessions__data_dir": str(tmp_path)}
    with callers(path, sessions__disk_bytes=BUDGET, **kept) as (ann, bob):
        refused: dict[str, Any] = {}
        for number, caller in zip(range(20), cycle((ann, bob)), strict=False):
            caller.talk(f"Hello {number}")
            newest = caller.sessions()[0]["id"]
            answer = caller.http.post(f"/v1/sessions/{newest}/pin", json={})
            if answer.status_code != 200:
                refused = answer.json()["error"]
                break
        assert refused["code"] == "pin_limit_exceeded"
        assert "all keys together (disk)" in refused["message"]
        pinned = re.findall(r'pinned_bytes{tier="(\w+)"} (\S+)', ann.http.get("/metrics").text)
        assert BUDGET // 4 < {tier: float(n) for tier, n in pinned}["disk"] <= BUDGET // 2
        bob.talk("Something else")
        ((_, counts),) = bob.app.keeping.archive.places
        assert counts.errors == 0
        store = bob.app.context.manager._store
        store.delete([key for tier in store._tiers for key in tier])
        assert bob.say("Something else")["read"] == 0  # found on the disk

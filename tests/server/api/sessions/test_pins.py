"""What is pinned stays, within bounds."""

from pathlib import Path

from tests.server.api.sessions.callers import Caller, callers


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

"""Names that nothing else has, though the system is asked for few of them."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from server import chance
from server.chance import fresh_hex, fresh_number


def test_no_name_is_given_twice_to_any_thread() -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: fresh_hex(8), range(20_000)))
    assert len(set(found)) == len(found)
    assert {len(name) for name in found} == {16}


def test_numbers_have_all_of_their_bits_and_no_more() -> None:
    found = [fresh_number(3) for _ in range(500)]
    assert set(found) == set(range(8))
    assert max(fresh_number(63) for _ in range(100)) < 2**63


def test_the_system_is_asked_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = os.urandom, list[int]()

    def counted(nbytes: int) -> bytes:
        asked.append(nbytes)
        return real(nbytes)

    monkeypatch.setattr(chance.os, "urandom", counted)
    for _ in range(100):
        fresh_hex(16)
    assert len(asked) <= 1
    assert len(fresh_hex(10_000)) == 20_000

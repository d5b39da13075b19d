"""Commands for the engine: all that has come, and for a moment what is about to."""

import threading
import time

import pytest

from server.engine import intake as module
from server.engine.intake import Intake
from server.engine.messages import Cancel

LONG_S = 60.0  # what waits for as long fails its test


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NEXT_S", LONG_S)
    monkeypatch.setattr(module, "_ALL_S", LONG_S)


def test_what_comes_while_an_engine_works_is_taken_without_waiting() -> None:
    intake = Intake(coming=lambda: True)
    assert list(intake.take(idle=False)) == []
    for name in "ab":
        intake.put(Cancel(name))
    assert list(intake.take(idle=False)) == [Cancel("a"), Cancel("b")]


def test_a_request_that_no_other_follows_is_not_kept_waiting() -> None:
    intake = Intake(coming=lambda: False)
    intake.put(Cancel("a"))
    began = time.perf_counter()
    assert list(intake.take(idle=True)) == [Cancel("a")]
    assert time.perf_counter() - began < LONG_S / 2


def test_an_idle_engine_takes_those_that_are_about_to_come_too() -> None:
    left = ["b", "c"]
    intake = Intake(coming=lambda: bool(left))

    def later() -> None:
        while left:
            time.sleep(0.01)
            intake.put(Cancel(left.pop(0)))

    intake.put(Cancel("a"))
    thread = threading.Thread(target=later)
    thread.start()
    found = list(intake.take(idle=True))
    thread.join()
    assert found == [Cancel("a"), Cancel("b"), Cancel("c")]


@pytest.mark.parametrize("bound", ["_NEXT_S", "_ALL_S"])
def test_one_that_is_about_to_come_for_long_is_not_waited_for(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, bound, 0.01)
    intake = Intake(coming=lambda: True)
    intake.put(Cancel("a"))
    began = time.perf_counter()
    assert list(intake.take(idle=True)) == [Cancel("a")]
    assert time.perf_counter() - began < LONG_S / 2

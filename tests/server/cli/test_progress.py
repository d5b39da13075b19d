"""How loading is told where there is no terminal."""

import logging

import pytest

from server.cli.progress import loading


def test_slow_loading_is_logged_now_and_then_without_a_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.5, 3.0, 5.0])
    monkeypatch.setattr("server.cli.progress.time.monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, logger="server"), loading("x") as report:
        for done in (10, 25, 30, 50):
            report(done, 100)
    assert caplog.messages == ["loading x: 25 %", "loading x: 50 %"]

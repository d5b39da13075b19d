"""Logging: one line for each event, and nothing a client wrote."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from server import log

SECRET = "my medical history"


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    names = ["", log.ACCESS, *log.OWN_LOGGERS]
    loggers = [logging.getLogger(name) for name in names]
    kept = [(item.handlers[:], item.level, item.filters[:]) for item in loggers]
    yield
    for item, (handlers, level, filters) in zip(loggers, kept, strict=True):
        item.handlers[:], item.filters[:] = handlers, filters
        item.setLevel(level)


def configured(**options: Any) -> io.StringIO:
    stream = io.StringIO()
    log.configure(stream=stream, **options)
    return stream


def fail(error: Exception) -> None:
    try:
        raise error
    except type(error):
        logging.getLogger("server.engine").exception("a step failed")


def test_text_is_one_line_with_level_logger_message_and_fields() -> None:
    stream = configured()
    logging.getLogger("server.app").info("ready in %d s", 2, extra={"port": 8000})
    time, _, rest = stream.getvalue().partition(" ")
    assert time.count(":") == 2
    assert rest == "info server.app: ready in 2 s port=8000\n"


def test_json_is_one_object_on_one_line() -> None:
    stream = configured(format="json")
    logging.getLogger("models.loader").warning("slow\ndisk", extra={"seconds": 9})
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "warning",
        "logger": "models.loader",
        "message": "slow\ndisk",
        "seconds": 9,
    }


@pytest.mark.parametrize("mark", ["\n", "\r", "\u2028", "\x1b[2J"])
def test_a_message_cannot_forge_a_line(mark: str) -> None:
    stream = configured()
    logging.getLogger("server").warning("unknown model %s", f"Zoë{mark}x")
    assert mark not in stream.getvalue().rstrip("\n")
    assert "Zoë" in stream.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_the_message_of_an_unexpected_error_is_left_out(format: str) -> None:
    stream = configured(format=format)
    fail(ValueError(SECRET))
    assert SECRET not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def test_an_error_is_logged_with_the_places_it_passed() -> None:
    stream = configured()
    fail(ValueError(SECRET))
    assert "test_log.py" in stream.getvalue()
    assert "in fail" in stream.getvalue()


def test_the_cause_of_an_error_is_logged_without_its_message() -> None:
    stream = configured()
    error = RuntimeError("engine stopped")
    error.__cause__ = KeyError(SECRET)
    fail(error)
    assert "caused by\nKeyError" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_what_the_system_says_of_a_failure_is_kept() -> None:
    stream = configured()
    fail(OSError(28, "No space left on device"))
    assert "No space left on device" in stream.getvalue()


def test_debug_shows_every_message() -> None:
    stream = configured(level="debug")
    fail(ValueError(SECRET))
    assert f"ValueError: {SECRET}" in stream.getvalue()


def test_the_level_is_for_our_loggers_and_libraries_start_at_warning() -> None:
    stream = configured(level="debug")
    logging.getLogger("httpx").info("request body")
    logging.getLogger("server.chat").debug("ours")
    assert "ours" in stream.getvalue()
    assert "request body" not in stream.getvalue()


@pytest.mark.parametrize("level", ["debug", "error"])
def test_access_lines_are_written_at_any_level_unless_switched_off(level: Any) -> None:
    stream = configured(level=level)
    logging.getLogger(log.ACCESS).info("request")
    assert "info server.access: request" in stream.getvalue()
    stream = configured(level=level, access=False)
    logging.getLogger(log.ACCESS).info("request")
    assert stream.getvalue() == ""


def test_configuring_twice_writes_each_event_once() -> None:
    configured()
    stream = configured()
    logging.getLogger("server").info("once")
    assert stream.getvalue().count("once") == 1

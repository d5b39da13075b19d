"""Logging to standard error: one line of text for each event, or one JSON object.

Fields go in `extra`: `log.info("request refused", extra={"status": 429})`. No prompt, answer or key
is ever a field or part of a message. The message of an unexpected exception may quote one, so only
its type and the places it passed are logged, unless the level is debug or the system said it.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

OWN_LOGGERS = ("server", "models")
ACCESS = "server.access"
# What the system, torch and the importer say of a failure quotes no input.
_QUOTES_NOTHING = (OSError, MemoryError, ImportError, RuntimeError)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["text", "json"] = "text",
    access: bool = True,
    stream: TextIO | None = None,
) -> None:
    """Sends every log record of the process to `stream`, standard error by default.

    level: for this project's loggers; libraries are heard from warning on.
    access: whether there is a line for each request.
    uvicorn must be run with `log_config=None`. Calling this again replaces what was set.
    """
    formatter = JsonFormatter if format == "json" else TextFormatter
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter(quote_errors=level == "debug"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(level.upper())
    logging.getLogger(ACCESS).setLevel(logging.INFO if access else logging.WARNING)


class _Formatter(logging.Formatter):
    """quote_errors: whether the messages of all exceptions are shown, whatever they quote."""

    def __init__(self, quote_errors: bool = False) -> None:
        super().__init__()
        self._quote_errors = quote_errors

    def _error(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return ""
        if self._quote_errors:
            return "".join(traceback.format_exception(error)).rstrip()
        return "\n".join(_guarded(error))


def _guarded(error: BaseException) -> list[str]:
    name = type(error).__qualname__
    quotes_nothing = isinstance(error, _QUOTES_NOTHING)
    first = f"{name}: {error}" if quotes_nothing else f"{name} (its message: at level debug)"
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"  at {item.filename}:{item.lineno} in {item.name}" for item in frames]
    cause = error.__cause__
    return [first, *places, *(["caused by", *_guarded(cause)] if cause else [])]


class TextFormatter(_Formatter):
    """`2026-01-31T12:00:00 info server.app: message key=value`; an error's places follow it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, but for the places of an exception."""
        time = datetime.fromtimestamp(record.created).isoformat(timespec="seconds")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        message = _on_one_line(f"{record.getMessage()}{fields}")
        line = f"{time} {record.levelname.lower()} {record.name}: {message}"
        error = self._error(record)
        return f"{line}\n{error}" if error else line


class JsonFormatter(_Formatter):
    """`{"time", "level", "logger", "message", …fields, "error"}`, the time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object on one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if error := self._error(record):
            entry["error"] = error
        return json.dumps(entry, default=str, ensure_ascii=False)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _on_one_line(text: str) -> str:
    # A name that a client sent must not be able to forge a second line.
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)

"""A form with one file, which is written where it is to be while it comes.

What usually reads forms keeps larger files in the temporary folder first, in clear.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from server.errors import InvalidRequest, NoRoom
from server.files import Incoming

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_AT_ONCE = 1 << 18  # bytes of a file that are written together
_MOST_FIELDS, _LONGEST_FIELD = 8, 4096


@dataclass(slots=True)
class Form:
    """filename: of the part `file`, which may be empty; None where that is missing or no file."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None


async def read_form(request: Request, file: Incoming) -> Form:
    """Reads all of it, with the content of the part `file` going to `file`.

    Raises InvalidRequest, and NoRoom, with the whole body read.
    """
    parts = _Parts()
    parser = _parser(request, parts)
    full: NoRoom | None = None
    async for chunk in request.stream():
        if full is None:
            try:
                parser.write(chunk)
            except FormParserError as error:
                raise _broken() from error
            try:
                await parts.move(file, _AT_ONCE)
            except NoRoom as error:
                full = error  # a client that is still sending would not read what it is told
    if full is not None:
        raise full
    await parts.move(file, 0)
    return parts.form()


def _parser(request: Request, parts: "_Parts") -> MultipartParser:
    _, options = parse_options_header(request.headers["content-type"])
    try:
        return MultipartParser(options[b"boundary"], parts.callbacks)
    except (KeyError, FormParserError) as error:
        message = "The content-type of a form has a boundary, of at most 256 bytes."
        raise InvalidRequest(message, code="invalid_form") from error


def _broken() -> InvalidRequest:
    return InvalidRequest("The form is not valid multipart/form-data.", code="invalid_form")


class _Parts:
    """Takes what the parser finds; `_waiting` is what has come of the file and is not written."""

    def __init__(self) -> None:
        self._form, self._ended = Form(), False
        self._waiting, self._value, self._elsewhere = bytearray(), bytearray(), bytearray()
        self._header, self._content = bytearray(), bytearray()
        self._name, self._into = "", self._elsewhere
        self._files = self._fields = 0

    @property
    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._content.extend(data[start:end]),
            "on_header_end": self._header_ends,
            "on_part_data": self._data,
            "on_part_end": self._part_ends,
            "on_end": self._end,
        }

    async def move(self, file: Incoming, most: int) -> None:
        """Writes what has come of the file if it is more than `most` bytes. Raises NoRoom."""
        if len(self._waiting) > most:
            data = bytes(self._waiting)
            self._waiting.clear()
            await asyncio.to_thread(file.write, data)

    def form(self) -> Form:
        """Raises InvalidRequest where the end is missing."""
        if not self._ended:
            raise _broken()
        return self._form

    def _header_ends(self) -> None:
        header, content = bytes(self._header).lower(), self._content.decode("latin-1")
        self._header.clear()
        self._content.clear()
        if header == b"content-disposition":
            _, options = parse_options_header(content)
            self._begin(_text(options.get(b"name", b"")), options.get(b"filename"))

    def _begin(self, name: str, filename: bytes | None) -> None:
        self._name = name
        self._files += filename is not None
        self._fields += filename is None
        if self._files > 1 or self._fields > _MOST_FIELDS:
            message = f"A form has one file and at most {_MOST_FIELDS} fields."
            raise InvalidRequest(message, code="invalid_form")
        if filename is None:
            self._into = self._value
        elif name == "file":
            self._into, self._form.filename = self._waiting, _text(filename)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._into is self._elsewhere:
            return
        self._into += data[start:end]
        if len(self._value) > _LONGEST_FIELD:
            message = f"A field of a form has at most {_LONGEST_FIELD:,} bytes."
            raise InvalidRequest(message, code="invalid_form")

    def _part_ends(self) -> None:
        if self._into is self._value:
            self._form.fields[self._name] = _text(bytes(self._value))
            self._value.clear()
        self._into = self._elsewhere

    def _end(self) -> None:
        self._ended = True


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")

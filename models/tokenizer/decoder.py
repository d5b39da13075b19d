"""Bytes of one token after another to text, never showing a part of a character."""

import codecs


class TextDecoder:
    """Incremental UTF-8; one per sequence.

    Bytes that can no longer become a character turn into U+FFFD at once, those that still can
    are held back.
    """

    __slots__ = ("_utf8",)

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    @property
    def pending(self) -> bytes:
        """The start of a character that is not complete yet, at most three bytes."""
        return self._utf8.getstate()[0]

    def push(self, token_bytes: bytes) -> str:
        """The characters that these bytes complete."""
        return self._utf8.decode(token_bytes)

    def flush(self) -> str:
        """End the text: an incomplete character is dropped, so this returns the empty string."""
        self._utf8.reset()
        return ""

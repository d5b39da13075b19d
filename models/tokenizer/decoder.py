"""Bytes of one token after another to text, never showing a part of a character."""

import codecs


class TextDecoder:
    """Incremental UTF-8; one per sequence.

    Bytes that can no longer become a character turn into U+FFFD at once, those that still can
    are held back.
    """

    __slots__ = ("_utf8", "pending")

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.pending = b""  # the start of a character that is not complete yet, three bytes at most

    def push(self, token_bytes: bytes) -> str:
        """The characters that these bytes complete."""
        if not self.pending:
            try:
                return token_bytes.decode()  # as nearly all are whole, and this is faster
            except UnicodeDecodeError:
                pass
        text = self._utf8.decode(token_bytes)
        self.pending = self._utf8.getstate()[0]
        return text

    def flush(self) -> str:
        """End the text: an incomplete character is dropped, so this returns the empty string."""
        self._utf8.reset()
        self.pending = b""
        return ""

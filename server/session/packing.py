"""Snapshots to bytes and back: halved where that is wanted, encrypted where there is a key."""

import logging
from io import BytesIO
from typing import BinaryIO

from server.engine.snapshot import Snapshot
from server.session import codec
from server.session.cipher import Cipher, CipherError, is_sealed
from server.session.codec import ArchiveDtype, CodecError
from server.session.entry import Entry
from server.session.keys import Key
from server.session.tensors import Parts

log = logging.getLogger(__name__)


class Packing:
    """One form for every home."""

    def __init__(self, dtype: ArchiveDtype = "float32", cipher: Cipher | None = None) -> None:
        self._dtype, self._cipher = dtype, cipher
        self._warned = False

    def pack(self, entry: Entry, snapshot: Snapshot) -> Parts:
        head, *rest = codec.encode(entry, snapshot, self._dtype)
        if self._cipher is None:
            return [head, *rest]
        return [self._cipher.seal_parts(entry.key, bytes(head), b"".join(rest))]

    def unpack(self, key: Key, data: bytes) -> tuple[Entry, Snapshot] | None:
        """None for what cannot be read, or was kept under another key."""
        try:
            entry, snapshot = codec.decode(self._opened(key, data))
        except (CodecError, CipherError) as error:
            self._warn(error)
            return None
        return (entry, snapshot) if entry.key == key else None

    def describe(self, key: Key, file: BinaryIO) -> Entry:
        """From its head, which is all that is read. Raises ValueError."""
        if self._cipher is not None:
            return codec.describe(BytesIO(self._cipher.open_head(key, file)))
        return codec.describe(file)

    def _opened(self, key: Key, data: bytes) -> bytes:
        if self._cipher:
            return self._cipher.open_parts(key, data)
        if is_sealed(data):
            raise CipherError("it is encrypted, and no key is set")
        return data

    def _warn(self, error: Exception) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        log.log(level, "a kept conversation cannot be read, and is read again: %s", error)
        self._warned = True

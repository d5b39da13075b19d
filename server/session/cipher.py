"""Encryption at rest: AES-256-GCM over a whole snapshot or document, bound to its key.

    magic 1, nonce, ciphertext          a whole
    magic 2, length, head, rest         two wholes, of which the first, of that length (4 bytes,
                                        little endian), can be read and opened by itself

The head says what the rest has to be, so that parts of two files do not pass for one.
"""

import base64
import binascii
import os
from io import BytesIO
from typing import BinaryIO

from server.session.keys import Key

_MAGIC = b"rwkv-server sealed 1\n"
_PARTED = b"rwkv-server sealed 2\n"
_HEAD, _REST = b" head", b" rest"  # behind the key that a part is bound to
_LENGTH, _LONGEST_HEAD = 4, 2**24
_NONCE, _KEY = 12, 32
_EXTRA = "encryption needs the package cryptography: pip install 'rwkv-server[encryption]'"


class CipherError(ValueError):
    """A key that cannot be used, or bytes that this key does not open."""


class Cipher:
    """secret: 32 bytes in base64 or hexadecimal. Raises CipherError."""

    def __init__(self, secret: str) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise CipherError(_EXTRA) from error
        self._aead = AESGCM(_key(secret.strip()))

    def seal(self, key: Key, data: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return _MAGIC + nonce + self._aead.encrypt(nonce, data, _MAGIC + key)

    def open(self, key: Key, data: bytes) -> bytes:
        """Raises CipherError. What was kept without encryption is not accepted either."""
        from cryptography.exceptions import InvalidTag

        if not data.startswith(_MAGIC):
            raise CipherError("it is not encrypted")
        start = len(_MAGIC)
        nonce, sealed = data[start : start + _NONCE], data[start + _NONCE :]
        try:
            return self._aead.decrypt(nonce, sealed, _MAGIC + key)
        except (InvalidTag, ValueError) as error:
            raise CipherError("another key encrypted it, or it is damaged") from error

    def seal_parts(self, key: Key, head: bytes, rest: bytes) -> bytes:
        """In two parts, each of which opens by itself."""
        first = self.seal(key + _HEAD, head)
        length = len(first).to_bytes(_LENGTH, "little")
        return b"".join((_PARTED, length, first, self.seal(key + _REST, rest)))

    def open_parts(self, key: Key, data: bytes) -> bytes:
        """What was sealed in two parts, or as a whole. Raises CipherError."""
        if not data.startswith(_PARTED):
            return self.open(key, data)
        file = BytesIO(data)
        return self.open_head(key, file) + self.open(key + _REST, file.read())

    def open_head(self, key: Key, file: BinaryIO) -> bytes:
        """The first part, with no more read than that; all of what is a whole. Raises
        CipherError."""
        magic = file.read(len(_PARTED))
        if magic != _PARTED:
            return self.open(key, magic + file.read())
        length = int.from_bytes(file.read(_LENGTH), "little")
        if length > _LONGEST_HEAD:
            raise CipherError("it is damaged")
        return self.open(key + _HEAD, file.read(length))


def is_sealed(data: bytes) -> bool:
    return data.startswith((_MAGIC, _PARTED))


def _key(secret: str) -> bytes:
    try:
        if len(secret) == 2 * _KEY:
            return bytes.fromhex(secret)
        found = base64.b64decode(secret, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != _KEY:
        raise CipherError("the encryption key must be 32 bytes in hexadecimal or base64")
    return found

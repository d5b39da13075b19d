"""Encryption at rest: AES-256-GCM over a whole snapshot or document, bound to its key."""

import base64
import binascii
import os

from server.session.keys import Key

_MAGIC = b"rwkv-server sealed 1\n"
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

        if not is_sealed(data):
            raise CipherError("it is not encrypted")
        start = len(_MAGIC)
        nonce, sealed = data[start : start + _NONCE], data[start + _NONCE :]
        try:
            return self._aead.decrypt(nonce, sealed, _MAGIC + key)
        except (InvalidTag, ValueError) as error:
            raise CipherError("another key encrypted it, or it is damaged") from error


def is_sealed(data: bytes) -> bool:
    return data.startswith(_MAGIC)


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

"""Names for the prefixes of a conversation.

A prefix is named by its messages, not by its tokens: the chain of hashes over the messages'
canonical forms, seeded with the caller and the fingerprint of all that turns messages into
states (weights, tokenizer, template, number format). So a client that resends its history
finds the state that wrote it, though sampled ids need not be the tokenisation of their text,
and no caller can name another's state.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence

Key = bytes
KEY_BYTES = 32


def conversation_key(fingerprint: str, caller: str) -> Key:
    """The key of a conversation without any message yet."""
    return _digest(b"conversation", fingerprint.encode(), caller.encode())


def extend(key: Key, role: str, text: str) -> Key:
    """The key of a prefix with one more message, in canonical form."""
    return _digest(b"message", key, role.encode(), text.encode())


def prompt_key(key: Key, header: str) -> Key:
    """The key of a prefix followed by the header of an answer that is yet to be written."""
    return _digest(b"prompt", key, header.encode())


def id_keys(owner: tuple[str, str], ids: Sequence[int], lengths: Iterable[int]) -> Iterator[Key]:
    """The keys of the first so many ids, for rising `lengths`, of a text without messages.

    owner: the fingerprint and the caller, as for a conversation.
    """
    root = _digest(b"ids", *(part.encode() for part in owner))
    digest = hashlib.blake2b(root, digest_size=KEY_BYTES)
    done = 0
    for length in lengths:
        digest.update(array("I", ids[done:length]).tobytes())
        done = length
        yield digest.copy().digest()


def _digest(*parts: bytes) -> Key:
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in parts:  # lengths keep ("ab", "c") and ("a", "bc") apart
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()

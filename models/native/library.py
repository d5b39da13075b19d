"""The native library: finding it, and its calls.

What each call takes and gives is written beside it in src/library.cpp. ctypes releases the
interpreter for the time of a call.
"""

import ctypes
import functools
import logging
from ctypes import (
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_float,
    c_int,
    c_int32,
    c_int64,
    c_uint64,
    c_void_p,
)

from models.native.build import FOLDER, LIBRARY

log = logging.getLogger(__name__)

PATH = FOLDER / LIBRARY

Floats = POINTER(c_float)
Doubles = POINTER(c_double)
Integers = POINTER(c_int64)
Words = POINTER(c_int32)
Handles = POINTER(c_void_p)


class Choice(Structure):
    """As in src/sample.cpp."""

    _fields_ = (
        ("sampler", c_void_p),
        ("logits", c_void_p),
        ("vocab", c_int64),
        ("mask", c_void_p),
        ("banned", c_void_p),
        ("banned_count", c_int64),
        ("random", c_double),
        ("token", c_int64),
    )


_CALLS: dict[str, tuple[type | None, list[type]]] = {
    "rwkv_available": (c_char_p, []),
    "rwkv_new": (c_void_p, [c_char_p, Integers, c_char_p, c_char_p, c_int]),
    "rwkv_free": (None, [c_void_p]),
    "rwkv_bytes": (c_int64, [Handles, c_int64]),
    "rwkv_put": (c_char_p, [c_void_p, c_char_p, c_void_p, c_int, c_int64, c_int64]),
    "rwkv_map": (c_char_p, [c_void_p, c_int, c_int64]),
    "rwkv_place": (c_char_p, [c_void_p, c_char_p, *[c_int64] * 4, Handles]),
    "rwkv_packed": (c_int64, [c_void_p, c_char_p, Handles]),
    "rwkv_checksum": (c_uint64, [c_void_p, c_int64]),
    "rwkv_share": (c_char_p, [c_void_p, c_void_p, c_char_p]),
    "rwkv_ready": (c_char_p, [c_void_p]),
    "rwkv_forward": (
        None,
        [c_void_p, Integers, Integers, c_int64, Floats, Floats, Floats, Integers, Floats, c_int],
    ),
    "rwkv_sampler_new": (c_void_p, [Doubles, Integers, Doubles, c_int64, Integers, c_int64]),
    "rwkv_sampler_free": (None, [c_void_p]),
    "rwkv_team_new": (c_void_p, [c_int]),
    "rwkv_team_free": (None, [c_void_p]),
    "rwkv_choose": (c_int, [c_void_p, POINTER(Choice), c_int64]),
    "rwkv_trie_new": (c_void_p, [c_char_p, Integers, Words, c_int64]),
    "rwkv_trie_free": (None, [c_void_p]),
    "rwkv_trie_encode": (c_int64, [c_void_p, c_char_p, c_int64, Words, Integers]),
    "rwkv_score": (
        c_int,
        [
            *(c_void_p, Handles, c_int64, c_int64, Integers, c_int64),
            *(Integers, c_int64, Floats, Integers, Floats),
        ],
    ),
}


def available() -> bool:
    """Whether the library was built and runs here; if not, the first call logs why."""
    return library() is not None


@functools.cache
def library() -> ctypes.CDLL | None:
    """The loaded library, or None, said once in one log line."""
    if not PATH.is_file():
        log.info("the native library was not built; torch computes instead")
        return None
    try:
        found = ctypes.CDLL(str(PATH))
        for name, (result, arguments) in _CALLS.items():
            call = getattr(found, name)
            call.restype, call.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        log.warning("the native library cannot be loaded, torch computes instead: %s", error)
        return None
    return found

"""Bits that nobody can guess, of which the system is asked for many at once.

Each time that it is asked, the interpreter's lock is given away, and beside an engine at work it
comes back much later.
"""

import os
import threading

_PORTION = 4096  # bytes


class _Portion:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes, self._used = b"", 0

    def take(self, nbytes: int) -> bytes:
        """None of them is given twice, whichever thread asks."""
        with self._lock:
            if self._used + nbytes > len(self._bytes):
                self._bytes, self._used = os.urandom(max(_PORTION, nbytes)), 0
            start, self._used = self._used, self._used + nbytes
            return self._bytes[start : self._used]


_portion = _Portion()


def fresh_hex(nbytes: int) -> str:
    """So many bytes, as twice as many digits: a name that nothing else has."""
    return _portion.take(nbytes).hex()


def fresh_number(bits: int) -> int:
    """Below 2**bits."""
    return int.from_bytes(_portion.take(-(-bits // 8)), "little") >> (-bits % 8)

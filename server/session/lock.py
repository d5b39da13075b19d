"""A folder's lock, which the system gives up with its process, however that ends."""

import os
import sys
from pathlib import Path

from server.session.home import HomeError

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderLock:
    """Held from the start, in a folder that is made if need be, for its owner's eyes only.

    Raises HomeError if another process, or another one here, holds it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise HomeError(f"cannot be used: {error.strerror or error}") from error
        try:
            _take(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            raise HomeError("is in use by another server") from error

    def release(self) -> None:
        os.close(self._descriptor)

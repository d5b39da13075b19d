"""SQLite files of ours: opened with their layout, for the owner's eyes only."""

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path


def opened(
    path: Path, version: int, schema: str, pragmas: Mapping[str, str | int]
) -> sqlite3.Connection:
    """A connection for any thread; a new file gets the schema. pragmas: set before anything else.

    Raises sqlite3.DatabaseError for what is damaged or has another layout, and OSError.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would ask the umask
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        for name, value in pragmas.items():
            connection.execute(f"PRAGMA {name} = {value}")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            connection.executescript(f"{schema} PRAGMA user_version = {version};")
        elif found != version:
            raise sqlite3.DatabaseError(f"it has layout {found}")
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("it is damaged")
    except sqlite3.Error:
        connection.close()
        raise
    return connection

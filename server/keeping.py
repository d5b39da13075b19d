"""From settings to the archive: where conversations are kept beyond memory."""

import logging
import os
import sys
from pathlib import Path

from server.config import SessionSettings
from server.session import Archive, Cipher, CipherError, DiskHome, Home, HomeError, Packing

log = logging.getLogger(__name__)


def archive(settings: SessionSettings) -> Archive | None:
    """None where nothing is kept beyond memory.

    When it opens, a folder that cannot be used is warned of, and done without. Raises CipherError
    for an encryption key that cannot be used, and HomeError for a shared store that cannot.
    """
    if not settings.archive:
        return None
    packing = Packing(settings.archive_dtype, _cipher(settings))
    shared = _shared(settings)

    def homes() -> list[Home]:
        return [home for home in (_disk(settings, packing), shared) if home is not None]

    return Archive(homes, packing)


def data_dir(settings: SessionSettings) -> Path:
    """The folder for kept conversations."""
    if settings.data_dir:
        return Path(settings.data_dir).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "rwkv-server"


def _disk(settings: SessionSettings, packing: Packing) -> Home | None:
    if not settings.disk_bytes:
        return None
    try:
        folder = data_dir(settings)
        return DiskHome(
            folder,
            settings.disk_bytes,
            describe=packing.describe,
            days=settings.archive_days,
            sync_interval_s=settings.sync_interval_s,
        )
    except (HomeError, RuntimeError) as error:  # the latter where there is no home folder
        log.warning("conversations will not be kept on disk: the data folder %s", error)
        return None


def _shared(settings: SessionSettings) -> Home | None:
    if not settings.store_url:
        return None
    from server.session.shared import SharedHome  # an extra has what it needs

    return SharedHome(settings.store_url, days=settings.archive_days)


def _cipher(settings: SessionSettings) -> Cipher | None:
    secret = settings.encryption_key
    if settings.encryption_key_file:
        try:
            secret = Path(settings.encryption_key_file).expanduser().read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise CipherError(f"the encryption key file cannot be read: {error}") from error
    return Cipher(secret) if secret else None

"""The bytes of one file: fetching those that are missing, and comparing all with its checksum."""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from server import __version__
from server.hub.errors import Unreachable
from server.hub.faults import HttpError, full, reason, transient

log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""

TRIES = 5  # without a single byte, before giving up
PAUSE_S = 1.0  # after the first of them; each further pause is twice as long
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """What a file contains at a commit. digest: SHA-256, or git's SHA-1 of a small file."""

    repo: str
    commit: str
    file: str
    size_bytes: int
    digest: str


def complete(blob: Blob, partial: Path, report: Report) -> None:
    """Append to `partial` what it lacks, through lost connections.

    Raises Unreachable when nothing arrives any more, and HubError when the disk is too small; what
    arrived stays.
    """
    _need_room(blob, partial)
    idle = 0
    while (done := size(partial)) < blob.size_bytes:
        fault = _append(blob, partial, done, report)
        idle = 0 if size(partial) > done else idle + 1
        if idle == TRIES:
            raise Unreachable(
                f"{constants.ENDPOINT} sends no more of {blob.file} ({fault}); the same command "
                f"continues at {100 * size(partial) // blob.size_bytes} %."
            )
        if size(partial) < blob.size_bytes:
            log.warning("%s: connection lost (%s); continuing", blob.file, fault)
            time.sleep(PAUSE_S * 2**idle)


def _append(blob: Blob, partial: Path, done: int, report: Report) -> str:
    """One request for what follows the first `done` bytes; why it ended."""
    try:
        _request(blob, partial, done, report)
    except HttpError as error:
        if not transient(error):
            raise
        return reason(error)
    return "too few bytes"


def _request(blob: Blob, partial: Path, done: int, report: Report) -> None:
    url = hf_hub_url(blob.repo, blob.file, revision=blob.commit)
    headers = build_hf_headers(library_name="rwkv-server", library_version=__version__)
    headers["accept-encoding"] = "identity"  # bytes are counted as they lie in the file
    if done:
        headers["range"] = f"bytes={done}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        continues = response.status_code == 206
        done = done if continues else 0
        with partial.open("ab" if continues else "wb") as sink:
            report(done, blob.size_bytes)
            for chunk in response.iter_raw():
                sink.write(chunk)
                done += len(chunk)
                report(min(done, blob.size_bytes), blob.size_bytes)
                if done > blob.size_bytes:  # the checksum will not fit either
                    break
            sink.flush()
            os.fsync(sink.fileno())


def intact(path: Path, blob: Blob, report: Report) -> bool:
    """Whether a file's content is what the hub says."""
    if size(path) != blob.size_bytes:
        return False
    # git hashes a header in front of the content.
    git = hashlib.sha1(f"blob {blob.size_bytes}\0".encode(), usedforsecurity=False)
    digest = hashlib.sha256() if len(blob.digest) == 64 else git
    done = 0
    report(done, blob.size_bytes)
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report(done, blob.size_bytes)
    return digest.hexdigest() == blob.digest


def size(path: Path) -> int:
    """Bytes of a file that may not be there."""
    return path.stat().st_size if path.exists() else 0


def _need_room(blob: Blob, partial: Path) -> None:
    needed = blob.size_bytes - size(partial)
    free = shutil.disk_usage(partial.parent).free
    if needed > free:
        raise full(f"{needed:,} bytes", f"{free:,}")

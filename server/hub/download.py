"""Fetching checkpoints from the hub into the Hugging Face cache.

huggingface_hub asks the hub, authorises, follows the environment and names what went wrong. The
bytes are fetched here, because its own downloads start from the beginning when the process was
stopped, and do not compare what arrived with the hub's checksum. A file that is not complete and
checked has a name of its own, `blobs/HASH.incomplete`, and no other tool takes it for a model.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, constants
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import WeakFileLock

from server import __version__
from server.hub.errors import HubError, SeveralCheckpoints, Unreachable
from server.hub.faults import explained, understood
from server.hub.local import cache_folder, cached, cached_files, repo_folder
from server.hub.names import Reference, is_checkpoint, offered
from server.hub.transfer import Blob, Report, complete, intact

log = logging.getLogger(__name__)

Progress = Callable[[str, str], AbstractContextManager[Report]]
"""Called with what is done ("pulling", "checking") and to which file; what it gives is told how far
that is."""

_TOKENIZERS = ("tokenizer.json", "rwkv_vocab*.txt")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_LOCK_S = 0.5  # to wait for another process; a download takes far longer


@dataclass(frozen=True, slots=True)
class _Listing:
    """What a repository holds at its newest commit."""

    commit: str
    files: dict[str, Blob]


def pull(reference: Reference, progress: Progress) -> Path:
    """Fetch the file that `reference` means, with the tokenizer beside it, and return its path.

    What is here already is checked, not fetched. Without a hub to ask, what is in the cache will
    do. Raises HubError; SeveralCheckpoints where the reference leaves a choice.
    """
    try:
        with explained(reference, constants.ENDPOINT):
            listing = _ask(reference.repo)
    except Unreachable:
        if not reference.choose(cached_files(reference.repo)):
            raise
        log.warning("the hub was not asked; %s is as it is in the cache", reference.name)
        return cached(reference)
    wanted = _with_tokenizer(_choose(reference, listing), listing)
    with explained(reference, constants.ENDPOINT):
        paths = [_obtain(reference.repo, listing, file, progress) for file in wanted]
        _remember(reference.repo, listing.commit)
    return paths[0]


def _ask(repo: str) -> _Listing:
    api = HfApi(library_name="rwkv-server", library_version=__version__)
    with understood(api.endpoint):
        info = api.model_info(repo, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        commit = _matching(_COMMIT, info.sha)
        blobs = [_blob(repo, commit, sibling) for sibling in info.siblings or ()]
    return _Listing(commit, {blob.file: blob for blob in blobs})


def _blob(repo: str, commit: str, sibling: RepoSibling) -> Blob:
    path = PurePosixPath(sibling.rfilename)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(sibling.rfilename)
    digest = _matching(_HASH, sibling.lfs.sha256 if sibling.lfs else sibling.blob_id)
    return Blob(repo, commit, str(path), int(sibling.size or 0), digest)


def _matching(form: re.Pattern[str], text: str | None) -> str:
    """`text`, which is going to be part of a path. Raises ValueError if it is not what it says."""
    if text is None or not form.fullmatch(text):
        raise ValueError(text)
    return text


def _choose(reference: Reference, listing: _Listing) -> str:
    chosen = reference.choose(listing.files)
    if len(chosen) == 1:
        return chosen[0]
    repo, files = reference.repo, listing.files
    if chosen:
        raise SeveralCheckpoints(
            f"{repo} holds {len(chosen)} checkpoints; name one, as in "
            f"`rwkv-server pull {repo}:{chosen[0]}`.",
            {name: files[name].size_bytes for name in chosen},
        )
    if reference.short:
        raise HubError(f"{repo} has no {reference.name}; it has {_listed(offered(files))}.")
    checkpoints = _listed([name for name in files if is_checkpoint(name)])
    if reference.file:
        raise HubError(f"{repo} has no file {reference.file}; its checkpoints: {checkpoints}.")
    raise HubError(f"{repo} holds no .pth or .safetensors file that is a model by itself.")


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _with_tokenizer(file: str, listing: _Listing) -> list[str]:
    folder = PurePosixPath(file).parent
    beside = [path for path in map(PurePosixPath, listing.files) if path.parent == folder]
    tokenizers = [
        str(path) for path in beside if any(fnmatch(path.name, form) for form in _TOKENIZERS)
    ]
    return [file, *tokenizers]


def _obtain(repo: str, listing: _Listing, file: str, progress: Progress) -> Path:
    """The path of a file that is complete and as the hub has it."""
    blob = listing.files[file]
    folder = repo_folder(repo)
    content = folder / "blobs" / blob.digest
    with _alone(repo, blob):
        if not (content.is_file() and _checked(content, blob, progress)):
            content.unlink(missing_ok=True)
            _fetch(blob, content, progress)
    return _link(content, folder / "snapshots" / listing.commit / file)


@contextmanager
def _alone(repo: str, blob: Blob) -> Iterator[None]:
    """No other process fetches the same content within this block."""
    lock = cache_folder() / ".locks" / repo_folder(repo).name / f"{blob.digest}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(WeakFileLock(lock, timeout=_LOCK_S))
        except TimeoutError as error:
            raise HubError(
                f"{blob.file} is being pulled by another process; let it end."
            ) from error
        yield


def _fetch(blob: Blob, content: Path, progress: Progress) -> None:
    partial = content.with_name(f"{content.name}.incomplete")
    partial.parent.mkdir(parents=True, exist_ok=True)
    fresh = not partial.exists()
    with progress("pulling", blob.file) as report:
        complete(blob, partial, report)
    if _checked(partial, blob, progress):
        partial.replace(content)
        return
    partial.unlink()
    if fresh:
        raise HubError(
            f"{blob.file} arrived damaged: its content is not what the hub's checksum says; it was "
            "deleted, pull again."
        )
    log.warning("%s: the part that was here is damaged; fetching all of it", blob.file)
    _fetch(blob, content, progress)


def _checked(path: Path, blob: Blob, progress: Progress) -> bool:
    with progress("checking", blob.file) as report:
        return intact(path, blob, report)


def _link(content: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    up = (".." for _ in path.relative_to(content.parent.parent).parent.parts)
    try:
        path.symlink_to(Path(*up, "blobs", content.name))
    except OSError:  # file systems without symbolic links
        path.hardlink_to(content)
    return path


def _remember(repo: str, commit: str) -> None:
    reference = repo_folder(repo) / "refs" / "main"
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(commit, encoding="utf-8")

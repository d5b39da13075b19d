"""The checkpoints that are here: bundled ones, and the files in the Hugging Face cache.

The cache's layout, as Hugging Face documents it, below `HF_HUB_CACHE` (`HF_HOME/hub`):

    models--OWNER--NAME/blobs/HASH                what files contain
    models--OWNER--NAME/snapshots/COMMIT/FILE     links to it, under the files' names
    models--OWNER--NAME/refs/main                 the newest commit that was asked for
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models import gosling
from server.hub.errors import HubError
from server.hub.names import Reference, is_checkpoint, parse, shortest

BUNDLED = {"gosling": gosling.PATH}


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint's file or folder, and what clients call it."""

    id: str
    path: Path


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that can be served. name: what `--model` takes; repo is None if bundled."""

    name: str
    repo: str | None
    file: str
    size_bytes: int
    path: Path


def find(name: str) -> Found:
    """What `--model` names: a bundled model, a path, or something in the cache.

    A path need not exist. Raises HubError for what could be pulled but is not here.
    """
    if name in BUNDLED:
        return Found(name, BUNDLED[name])
    path = Path(name)
    reference = None if path.exists() else parse(name)
    if reference is None:
        return Found(path.resolve().name if path.is_dir() else path.stem, path)
    path = cached(reference)
    return Found(name if reference.short else path.stem, path)


def cached(reference: Reference) -> Path:
    """The file in the cache that `reference` means. Raises HubError."""
    files = cached_files(reference.repo)
    chosen = reference.choose(files)
    if not chosen:
        what = f"{reference.name} is not in the cache"
        if reference.file is None and not reference.short:
            what = f"{reference.name} is neither a path here nor in the cache"
        raise HubError(f"{what}; fetch it with `rwkv-server pull {reference.name}`.")
    if len(chosen) > 1:
        names = ", ".join(f"{reference.repo}:{file}" for file in chosen)
        raise HubError(f"{reference.name} is several files in the cache; name one of {names}.")
    return files[chosen[0]]


def stored() -> list[Checkpoint]:
    """Every checkpoint that is here, bundled ones first."""
    return [*_bundled(), *_cached()]


def _bundled() -> Iterator[Checkpoint]:
    for name, folder in BUNDLED.items():
        for path in sorted(folder.iterdir()):
            if is_checkpoint(path.name):
                yield Checkpoint(name, None, path.name, path.stat().st_size, path)


def _cached() -> Iterator[Checkpoint]:
    for folder in sorted(cache_folder().glob("models--*--*")):
        repo = folder.name.removeprefix("models--").replace("--", "/")
        files = cached_files(repo)
        for file, path in files.items():
            if is_checkpoint(file):
                name = shortest(repo, file, list(files))
                yield Checkpoint(name, repo, file, path.stat().st_size, path)


def cache_folder() -> Path:
    """Where Hugging Face's tools keep what they fetched; it may not exist yet."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repo_folder(repo: str) -> Path:
    """Where the cache keeps what it has of a repository."""
    return cache_folder() / f"models--{repo.replace('/', '--')}"


def cached_files(repo: str) -> dict[str, Path]:
    """The files of a repository that are here, by name, each from the newest commit that has it."""
    found: dict[str, Path] = {}
    for snapshot in _snapshots(repo_folder(repo)):
        files = (path for path in snapshot.rglob("*") if path.is_file())
        found |= {path.relative_to(snapshot).as_posix(): path for path in files}
    return dict(sorted(found.items()))


def _snapshots(folder: Path) -> list[Path]:
    """The folders of its commits, the newest last."""
    reference = folder / "refs" / "main"
    main = reference.read_text(encoding="utf-8").strip() if reference.is_file() else ""
    snapshots = (path for path in folder.glob("snapshots/*") if path.is_dir())
    return sorted(snapshots, key=lambda path: (path.name == main, path.stat().st_mtime))

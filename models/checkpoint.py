"""From a path to named tensors: which file is meant, how it is read, whose names it has."""

import re
from dataclasses import dataclass
from pathlib import Path

from models import files, layouts, shards
from models.base import CheckpointError, ModelSpec
from models.detect import detect
from models.tensors import LazyTensors

_SUFFIXES = frozenset(files.READERS) - {".bin"}  # folders hold other things as .bin
_PYTORCH = "pytorch_model.bin"
_PART = re.compile(r"-\d{5}-of-\d{5}\.\w+$")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that can be served: its tensors have their official names, and are read lazily."""

    path: Path
    layout: str
    spec: ModelSpec
    tensors: LazyTensors


def open_checkpoint(path: Path) -> Checkpoint:
    """What is at `path`, a file or a folder. Raises CheckpointError with one sentence."""
    file = find_checkpoint(path)
    stored = shards.read(file) if file.name.endswith(shards.INDEX_SUFFIX) else files.read(file)
    try:
        layout, tensors = layouts.official(stored, file.parent)
        return Checkpoint(file, layout, detect(tensors), tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{file} cannot be served: {error}") from error


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file that `path` names: itself, or the only one in a folder.

    The index of a checkpoint in several files stands for all of them.
    """
    if not path.is_dir():
        return path
    found = _candidates([p.name for p in path.iterdir()])
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise CheckpointError(
            f"{path} should hold one .pth or .safetensors file, or one of another kind that can "
            f"be read; found {names}"
        )
    return path / found[0]


def _candidates(names: list[str]) -> list[str]:
    indices = [name for name in names if name.endswith(shards.INDEX_SUFFIX)]
    whole = [n for n in names if Path(n).suffix in _SUFFIXES and not (indices and _PART.search(n))]
    found = sorted(whole + [name for name in indices if not name.startswith(_PYTORCH)])
    # Many folders have their weights in both forms: the one without pickled code is taken.
    old = [name for name in names if name in {_PYTORCH, _PYTORCH + shards.INDEX_SUFFIX}]
    return found or sorted(old)

"""Checkpoints in several files, with an index that says which tensor lies in which.

The index is JSON as transformers writes it: {"weight_map": {tensor: file beside the index}}.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from models import files
from models.base import CheckpointError
from models.tensors import LazyTensors

INDEX_SUFFIX = ".index.json"
_MAX_JSON = 64 << 20  # bytes; the index of a thousand layers has less than one of these


def read(index: Path) -> LazyTensors:
    """All tensors that an index names. Raises CheckpointError when a part is not as it says."""
    if not index.is_file():
        raise CheckpointError(f"there is no checkpoint at {index}")
    return ShardedTensors(index)


class ShardedTensors(LazyTensors):
    """Several files as one; a tensor that the index does not name is not there."""

    def __init__(self, index: Path) -> None:
        places = _places(index)
        self._parts = {part: _open(index, part) for part in sorted(set(places.values()))}
        self._places = places
        for name, part in places.items():
            if name not in self._parts[part]:
                raise CheckpointError(
                    f"{index} says that {name} is in {part}, where it is not; "
                    "get the files again, from one place"
                )

    @property
    def container(self) -> str:
        return next(iter(self._parts.values())).container

    def forget(self, name: str) -> None:
        self._parts[self._places[name]].forget(name)

    def number_format(self, name: str) -> str:
        return self._parts[self._places[name]].number_format(name)

    def __getitem__(self, name: str) -> Tensor:
        return self._parts[self._places[name]][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object. Raises CheckpointError when the file is anything else."""
    try:
        if path.stat().st_size > _MAX_JSON:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds a {type(found).__name__}, not a JSON object")
    return found


def _places(index: Path) -> dict[str, str]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index} has no weight_map, which says where the tensors are")
    for name, part in places.items():
        # Only a name beside the index: a path could be anywhere on this machine.
        if not isinstance(part, str) or Path(part).name != part or "\0" in part:
            raise CheckpointError(
                f"{index} looks for {name} in {part!r}, which is no file of its own folder"
            )
    return places


def _open(index: Path, part: str) -> LazyTensors:
    path = index.parent / part
    if not path.is_file():
        raise CheckpointError(f"{path} is missing, though {index.name} counts on it; get it too")
    return files.read(path)

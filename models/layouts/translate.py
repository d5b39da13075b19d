"""Tensors under official names, made from a file that has other names for them.

Nothing is copied beforehand: each tensor is looked up, and turned or cut where the official one
has another shape, when it is asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models.base import CheckpointError
from models.tensors import LazyTensors

Change = Callable[[Tensor], Tensor]
Config = Mapping[str, Any]
"""The config.json beside a checkpoint; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which stored tensor becomes an official one, and how."""

    name: str
    change: Change | None = None


Named = tuple[str, Source]


@dataclass(frozen=True, slots=True)
class Layout:
    """A way of naming and turning tensors; every function may raise CheckpointError.

    recognises: whether a file has this layout, from its tensors' names and shapes. check: refuses
    what config.json asks for and the models here do not do. translate: a stored name to the
    official tensors that are made from it.
    """

    name: str
    recognises: Callable[[LazyTensors], bool]
    check: Callable[[LazyTensors, Config], None]
    translate: Callable[[LazyTensors, Config], Iterable[Named]]


class Translated(LazyTensors):
    """`stored` under official names."""

    def __init__(self, stored: LazyTensors, layout: Layout, config: Config) -> None:
        self._stored = stored
        self._layout = layout.name
        self._sources: dict[str, Source] = {}
        for name, source in layout.translate(stored, config):
            if name in self._sources:
                other = self._sources[name].name
                raise CheckpointError(f"both {other} and {source.name} would be {name}")
            self._sources[name] = source

    @property
    def container(self) -> str:
        return self._stored.container

    @property
    def packed(self) -> bool:
        return self._stored.packed

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._stored.metadata

    def forget(self, name: str) -> None:
        self._stored.forget(self._sources[name].name)

    def number_format(self, name: str) -> str:
        return self._stored.number_format(self._sources[name].name)

    def outline(self, name: str) -> Tensor:
        return self._changed(name, self._stored.outline(self._sources[name].name))

    def sample(self, name: str, count: int) -> Tensor:
        if self._stored.packed:
            return self._stored.sample(self._sources[name].name, count)
        return super().sample(name, count)

    def __getitem__(self, name: str) -> Tensor:
        return self._changed(name, self._stored[self._sources[name].name])

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def _changed(self, name: str, tensor: Tensor) -> Tensor:
        source = self._sources[name]
        if source.change is None:
            return tensor
        try:
            return source.change(tensor)
        except (RuntimeError, IndexError, ArithmeticError) as error:
            raise CheckpointError(
                f"{source.name} has shape {list(tensor.shape)}, which is not the one that "
                f"{name} has in the {self._layout} layout"
            ) from error


def turned(tensor: Tensor) -> Tensor:
    """Its last two dimensions exchanged."""
    return tensor.mT


def row(index: int, count: int) -> Change:
    """One of `count` vectors that are stored as one tensor."""
    return lambda tensor: tensor.reshape(count, -1)[index]

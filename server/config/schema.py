"""All settings together: one frozen model per section, each setting by its name.

The text in `About` is the only place a setting is explained; config.toml, docs/config.md and the
error messages are made from it. Each section has a module of its name; those of models and of
what is made from them are in `model`, those of what is kept in `session`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pydantic.fields import FieldInfo

from server.config.about import About, Section
from server.config.engine import EngineSettings
from server.config.files import FileSettings
from server.config.log import LogSettings
from server.config.model import AdapterSettings, ModelEntry, ModelSettings
from server.config.server import ServerSettings
from server.config.session import SessionSettings

PREFIX = "RWKV_SERVER_"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from: its kind, and the flag, variable or file that gave it."""

    kind: Literal["default", "file", "env", "flag"]
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration; `Settings()` holds every default.

    models, adapters: what is served beside `model`, in the order of the configuration.
    sources: dotted setting name → where its value came from; a name that is absent is a default.
    Those of an entry have its number in the middle, from 1: "models.2.path".
    """

    server: ServerSettings = field(default_factory=ServerSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    files: FileSettings = field(default_factory=FileSettings)
    log: LogSettings = field(default_factory=LogSettings)
    models: tuple[ModelEntry, ...] = ()
    adapters: tuple[AdapterSettings, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=lambda: MappingProxyType({}))


SECTIONS: Mapping[str, type[Section]] = MappingProxyType(
    {
        "server": ServerSettings,
        "model": ModelSettings,
        "engine": EngineSettings,
        "sessions": SessionSettings,
        "files": FileSettings,
        "log": LogSettings,
    }
)


# Tables that may stand in the file several times, as [[models]].
LISTS: Mapping[str, type[Section]] = MappingProxyType(
    {"models": ModelEntry, "adapters": AdapterSettings}
)


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: `section`.`field`, with its pydantic field and its explanation."""

    section: str
    field: str
    model: type[Section]
    info: FieldInfo
    about: About

    @property
    def name(self) -> str:
        return f"{self.section}.{self.field}"

    @property
    def env(self) -> str:
        return f"{PREFIX}{self.section}__{self.field}".upper()


def _keys(tables: Mapping[str, type[Section]]) -> Mapping[str, Key]:
    return MappingProxyType({key.name: key for key in _each_key(tables)})


def _each_key(tables: Mapping[str, type[Section]]) -> Iterator[Key]:
    for section, model in tables.items():
        for name, info in model.model_fields.items():
            about = next(item for item in info.metadata if isinstance(item, About))
            yield Key(section, name, model, info, about)


KEYS = _keys(SECTIONS)
ENTRY_KEYS = _keys(LISTS)

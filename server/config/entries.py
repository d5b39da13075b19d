"""Tables that may stand in the file several times: [[models]] and [[adapters]]."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from server.config.about import Section
from server.config.checks import ConfigError, checked, known, shown
from server.config.schema import ENTRY_KEYS, LISTS, Source

ADAPTERS = "adapters"
ADAPTER_FLAG = "--adapter"

Entry = dict[str, tuple[Any, Source]]  # a key of the table → its value and where it was read
Entries = dict[str, list[Entry]]


def read(tables: Mapping[str, Any], path: Path | None, flags: Sequence[str]) -> Entries:
    """The entries of a file and, after them, the adapters that flags name.

    tables: of the whole file. flags: each NAME=PATH.
    """
    found = {section: list(_from_file(section, tables.get(section, []), path)) for section in LISTS}
    found[ADAPTERS] += map(_from_flag, flags)
    return found


def made(entries: Entries) -> dict[str, tuple[Section, ...]]:
    """The entries as settings, by the names of their tables."""
    return {
        section: tuple(
            LISTS[section](**{field: value for field, (value, _) in entry.items()})
            for entry in several
        )
        for section, several in entries.items()
    }


def sources(entries: Entries) -> dict[str, Source]:
    """Where every value came from, by names such as "models.2.path"."""
    return {
        f"{section}.{number}.{field}": source
        for section, several in entries.items()
        for number, entry in enumerate(several, 1)
        for field, (_, source) in entry.items()
    }


def _from_file(section: str, several: Any, path: Path | None) -> Iterator[Entry]:
    if not isinstance(several, list):
        raise ConfigError(
            f"{section!r} in {path} must be a list of tables, each under [[{section}]], "
            f"but is {shown(several)}."
        )
    for number, table in enumerate(several, 1):
        where = f"[[{section}]] number {number} in {path}"
        if not isinstance(table, dict):
            raise ConfigError(f"{where} must be a table, but is {shown(table)}.")
        yield _entry(section, table, where, Source("file", str(path)))


def _entry(section: str, table: Mapping[str, Any], where: str, source: Source) -> Entry:
    entry: Entry = {}
    keys = {name: key for name, key in ENTRY_KEYS.items() if key.section == section}
    for field, value in table.items():
        key = known(f"{section}.{field}", keys, f"setting {field!r} of {where}")
        entry[field] = (checked(key, value, f"{field} of {where}", strict=True), source)
    for key in keys.values():
        if key.info.is_required() and key.field not in entry:
            raise ConfigError(f"{where} has no {key.field}; it must be {key.about.unit}.")
    return entry


def _from_flag(text: str) -> Entry:
    name, sign, path = text.partition("=")
    if not sign:
        raise ConfigError(f"{ADAPTER_FLAG} must be NAME=PATH, but is {shown(text)}.")
    values = {"name": name, "path": path}
    source = Source("flag", ADAPTER_FLAG)
    return {
        field: (checked(ENTRY_KEYS[f"{ADAPTERS}.{field}"], value, _part(field)), source)
        for field, value in values.items()
    }


def _part(field: str) -> str:
    return f"the {field} in {ADAPTER_FLAG} NAME=PATH"

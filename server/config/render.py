"""The configuration as text: what is in effect, config.toml, and the tables of the docs."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ByteSize

from server.config.about import Section
from server.config.schema import ENTRY_KEYS, KEYS, LISTS, SECTIONS, Key, Settings, Source

MASK = "***"
BEGIN = "<!-- settings: made from server/config/ by `make docs` -->"
END = "<!-- end of settings -->"
_HEADER = """\
# Configuration of rwkv-server: every setting with its default.
# A flag beats an RWKV_SERVER_… environment variable, which beats this file, which beats a default.
# Uncomment a line to change it; `rwkv-server config` shows what is in effect and where it is from.
"""
_TABLE = ("| key | default | takes | what and why |", "|---|---|---|---|")
_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value; `value` and `default` are masked where they are secret.

    name: dotted, "server.port". unit: the values it takes, in words. env, alias, flag: the other
    ways to set it.
    """

    name: str
    value: Any
    default: Any
    source: Source
    description: str
    unit: str
    reason: str
    env: str
    alias: str | None
    flag: str | None


def effective(settings: Settings) -> list[Setting]:
    """Every setting in the order of the schema, without the entries of lists."""
    return [
        _setting(key, key.name, getattr(settings, key.section), settings) for key in KEYS.values()
    ]


def _setting(key: Key, name: str, table: Section, settings: Settings) -> Setting:
    value = getattr(table, key.field)
    return Setting(
        name=name,
        value=_masked(value) if key.about.secret else value,
        default=key.info.default,
        source=settings.sources.get(name, Source("default")),
        description=key.about.what,
        unit=key.about.unit,
        reason=key.about.reason,
        env=key.env,
        alias=key.about.alias,
        flag=key.about.flag,
    )


def _masked(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(MASK for _ in value)
    return MASK if value else value


def _entries(settings: Settings) -> Iterator[tuple[str, list[Setting]]]:
    """The entries of all lists, each with the name of its list."""
    for section, keys in _by_table(ENTRY_KEYS, LISTS):
        for number, entry in enumerate(getattr(settings, section), 1):
            names = {f"{section}.{number}.{key.field}": key for key in keys}
            yield section, [_setting(key, name, entry, settings) for name, key in names.items()]


def dump(settings: Settings) -> str:
    """The effective configuration as TOML, secrets masked, each line ending in its source."""
    lines: list[str] = []
    for section, members in _by_section(effective(settings)):
        lines += ["", f"[{section}]"]
        lines += [f"{_assignment(item.name, item.value)}  # {item.source}" for item in members]
    for section, members in _entries(settings):
        lines += ["", f"[[{section}]]"]
        lines += [f"{_assignment(item.name, item.value)}  # {item.source}" for item in members]
    return "\n".join(lines[1:]) + "\n"


def reference() -> str:
    """The text of config.toml: every setting, commented out, with its explanation."""
    lines = [_HEADER.rstrip()]
    for section, keys in _by_table(KEYS, SECTIONS):
        lines += ["", f"# {SECTIONS[section].__doc__}", f"[{section}]"]
        lines += [line for key in keys for line in _explained(key)]
    for section, keys in _by_table(ENTRY_KEYS, LISTS):
        lines += ["", *_comment(LISTS[section].__doc__ or "")]
        lines += [f"# [[{section}]]", *(line for key in keys for line in _explained(key))]
    return "\n".join(lines) + "\n"


def _explained(key: Key) -> list[str]:
    about = key.about
    value = about.example if key.info.is_required() else key.info.default
    what = [*_comment(f"{about.what}: {about.unit}."), *_comment(f"Why: {about.reason}.")]
    return [*what, f"# {_assignment(key.name, value)}"]


def tables() -> str:
    """The Markdown tables of docs/config.md, one for each section."""
    lines: list[str] = []
    for section, keys in _by_table(KEYS, SECTIONS):
        lines += [f"## `[{section}]`", "", f"{SECTIONS[section].__doc__}", ""]
        lines += [*_TABLE, *map(_row, keys), ""]
    for section, keys in _by_table(ENTRY_KEYS, LISTS):
        lines += [
            f"## `[[{section}]]`",
            "",
            f"{LISTS[section].__doc__} May be given several times.",
        ]
        lines += ["", *_TABLE, *map(_row, keys), ""]
    return "\n".join(lines)


def _row(key: Key) -> str:
    about = key.about
    # A flag sets the table that stands once.
    names = () if key.section in LISTS else (about.flag, about.alias)
    also = " ".join(f"`{name}`" for name in names if name)
    cell = f"`{key.field}`" + (f"<br>{also}" if also else "")
    default = "required" if key.info.is_required() else f"`{toml(key.info.default)}`"
    return f"| {cell} | {default} | {about.unit} | {about.what}. *Why:* {about.reason}. |"


def _by_table(
    keys: Mapping[str, Key], tables: Mapping[str, type[Section]]
) -> Iterator[tuple[str, list[Key]]]:
    for section in tables:
        yield section, [key for key in keys.values() if key.section == section]


def _by_section(items: Iterable[Setting]) -> Iterator[tuple[str, list[Setting]]]:
    members = list(items)
    for section in SECTIONS:
        yield section, [item for item in members if item.name.startswith(f"{section}.")]


def _assignment(name: str, value: Any) -> str:
    return f"{name.rpartition('.')[2]} = {toml(value)}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 98, initial_indent="# ", subsequent_indent="#   ")


def toml(value: Any) -> str:
    """A setting's value in TOML's notation."""
    if isinstance(value, ByteSize):
        return f'"{size(value)}"'
    if value is None:
        return '""'
    if isinstance(value, tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    # JSON's notation is TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def size(count: int) -> str:
    """A number of bytes in the largest binary unit that divides it: 8388608 → "8MiB"."""
    for name, unit in _UNITS:
        if count and count % unit == 0:
            return f"{count // unit}{name}"
    return f"{count}B"


def document(text: str) -> str:
    """`text` of docs/config.md with its tables made anew between the two marks."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"

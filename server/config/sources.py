"""Reads flags, environment and file, and merges them into `Settings`.

Every value is checked where it was read, so that a message can name the file, variable or flag.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from server.config.schema import KEYS, PREFIX, SECTIONS, Key, Settings, Source

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
DEFAULT_FILE = "config.toml"

T = TypeVar("T")
Values = dict[str, tuple[Any, Source]]  # dotted setting name → its value and where it was read


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one sentence for the person."""


def load(
    config_file: Path | None = None,
    env: Mapping[str, str] = MappingProxyType({}),
    overrides: Mapping[str, Any] = MappingProxyType({}),
    directory: Path = Path(),
) -> Settings:
    """The effective configuration.

    config_file: the file of `--config`; None looks it up as `find_config_file` does.
    env: usually `os.environ`; an empty value counts as not set.
    overrides: values of flags by dotted name ("server.port"); None and empty lists count as not
    given. Raises ConfigError for whatever cannot be read, is unknown or does not fit.
    """
    path = find_config_file(config_file, env, directory)
    merged: Values = {}
    if path is not None:
        merged |= _from_file(path)
    merged |= _from_env(env)
    merged |= _from_flags(overrides)
    tables: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, (value, _) in merged.items():
        tables[KEYS[name].section][KEYS[name].field] = value
    sections: dict[str, Any] = {name: SECTIONS[name](**table) for name, table in tables.items()}
    sources = {name: source for name, (_, source) in merged.items()}
    return Settings(**sections, sources=MappingProxyType(sources))


def find_config_file(
    config_file: Path | None, env: Mapping[str, str], directory: Path = Path()
) -> Path | None:
    """The file named by the flag, else by RWKV_SERVER_CONFIG, else `directory`/config.toml.

    None when no file is named and there is no config.toml.
    """
    if config_file is not None:
        return config_file
    if named := env.get(CONFIG_VARIABLE):
        return Path(named)
    path = directory / DEFAULT_FILE
    return path if path.exists() else None


def _from_file(path: Path) -> Values:
    values: Values = {}
    for name, value in _flatten(_parse(path), path):
        key = _known(name, KEYS, f"setting {name!r} in {path}")
        # A file has types of its own: "8000" in it is no number, and 1 is not true.
        read = _checked(key, value, f"{name} in {path}", strict=True)
        values[name] = (read, Source("file", str(path)))
    return values


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"The configuration file {path} does not exist; create it or name another one."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read: {error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The configuration file {path} is not UTF-8 text (byte {error.start})."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The configuration file {path} is not valid TOML: {error}.") from error


def _flatten(tables: dict[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    for section, table in tables.items():
        _known(section, SECTIONS, f"section {section!r} in {path}")
        if not isinstance(table, dict):
            raise ConfigError(
                f"{section!r} in {path} must be a table, [{section}], but is {_shown(table)}."
            )
        for name, value in table.items():
            yield f"{section}.{name}", value


def _from_env(env: Mapping[str, str]) -> Values:
    known = {key.env: key for key in KEYS.values()}
    known |= {key.about.alias: key for key in KEYS.values() if key.about.alias}
    values: Values = {}
    for variable, text in sorted(env.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        key = _known(variable, known, f"environment variable {variable}")
        if not text:
            continue
        if key.name in values:
            raise ConfigError(
                f"{variable} and {values[key.name][1].name} set the same value; keep one of them."
            )
        value = _checked(key, _split(key, text), f"The environment variable {variable}")
        values[key.name] = (value, Source("env", variable))
    return values


def _split(key: Key, text: str) -> str | list[str]:
    if not isinstance(key.info.default, tuple):
        return text
    return [part.strip() for part in text.split(",") if part.strip()]


def _from_flags(overrides: Mapping[str, Any]) -> Values:
    values: Values = {}
    for name, value in overrides.items():
        key = _known(name, KEYS, f"setting {name!r}")
        if value is None or value in ([], ()):
            continue
        flag = key.about.flag or name
        values[name] = (_checked(key, value, flag), Source("flag", flag))
    return values


def _known(name: str, names: Mapping[str, T], what: str) -> T:
    if name in names:
        return names[name]
    raise ConfigError(f"Unknown {what}; {_suggestion(name, names)}")


def _suggestion(name: str, names: Iterable[str]) -> str:
    """The known name that was probably meant; a key may have been put into the wrong section."""
    words = {_word(known): known for known in (*KEYS, *names)}
    close = difflib.get_close_matches(_word(name), words, n=1, cutoff=0.5)
    if not close:
        return "`rwkv-server config` lists the known ones."
    return f"did you mean {words[close[0]]}?"


def _word(name: str) -> str:
    # What names share, the section or the prefix, would make unlike ones look alike.
    return name.removeprefix(PREFIX).rpartition(".")[2]


def _checked(key: Key, value: Any, where: str, strict: bool = False) -> Any:
    section = SECTIONS[key.section]
    try:
        if strict:
            # As JSON, because a strict model takes no list for a tuple from Python.
            text = json.dumps({key.field: value}, default=str)
            return getattr(section.model_validate_json(text, strict=True), key.field)
        return getattr(section.model_validate({key.field: value}), key.field)
    except ValidationError:
        got = "a value that does not fit" if key.about.secret else _shown(value)
        raise ConfigError(f"{where} must be {key.about.unit}, but is {got}.") from None


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"

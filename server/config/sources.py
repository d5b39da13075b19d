"""Reads flags, environment and file, and merges them into `Settings`.

Every value is checked where it was read, so that a message can name the file, variable or flag.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from server.config import entries
from server.config.checks import ConfigError, checked, known, shown
from server.config.schema import KEYS, LISTS, PREFIX, SECTIONS, Key, Settings, Source

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
DEFAULT_FILE = "config.toml"

Values = dict[str, tuple[Any, Source]]  # dotted setting name → its value and where it was read


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
    given. Those of "adapters", each NAME=PATH, come after the adapters of the file. Raises
    ConfigError for whatever cannot be read, is unknown or does not fit.
    """
    path = find_config_file(config_file, env, directory)
    written = _parse(path) if path is not None else {}
    flags = {name: value for name, value in overrides.items() if name != entries.ADAPTERS}
    merged = _from_file(written, path) | _from_env(env) | _from_flags(flags)
    several = entries.read(written, path, overrides.get(entries.ADAPTERS) or ())
    tables: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name, (value, _) in merged.items():
        tables[KEYS[name].section][KEYS[name].field] = value
    sections: dict[str, Any] = {name: SECTIONS[name](**table) for name, table in tables.items()}
    sections |= entries.made(several)
    sources = {name: source for name, (_, source) in merged.items()} | entries.sources(several)
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


def _from_file(tables: Mapping[str, Any], path: Path | None) -> Values:
    values: Values = {}
    for name, value in _flatten(tables, path):
        key = known(name, KEYS, f"setting {name!r} in {path}")
        # A file has types of its own: "8000" in it is no number, and 1 is not true.
        read = checked(key, value, f"{name} in {path}", strict=True)
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


def _flatten(tables: Mapping[str, Any], path: Path | None) -> Iterator[tuple[str, Any]]:
    for section, table in tables.items():
        known(section, {**SECTIONS, **LISTS}, f"section {section!r} in {path}")
        if section in LISTS:
            continue
        if not isinstance(table, dict):
            raise ConfigError(
                f"{section!r} in {path} must be a table, [{section}], but is {shown(table)}."
            )
        for name, value in table.items():
            yield f"{section}.{name}", value


def _from_env(env: Mapping[str, str]) -> Values:
    variables = {key.env: key for key in KEYS.values()}
    variables |= {key.about.alias: key for key in KEYS.values() if key.about.alias}
    values: Values = {}
    for variable, text in sorted(env.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        key = known(variable, variables, f"environment variable {variable}")
        if not text:
            continue
        if key.name in values:
            raise ConfigError(
                f"{variable} and {values[key.name][1].name} set the same value; keep one of them."
            )
        value = checked(key, _split(key, text), f"The environment variable {variable}")
        values[key.name] = (value, Source("env", variable))
    return values


def _split(key: Key, text: str) -> str | list[str]:
    if not isinstance(key.info.default, tuple):
        return text
    return [part.strip() for part in text.split(",") if part.strip()]


def _from_flags(overrides: Mapping[str, Any]) -> Values:
    values: Values = {}
    for name, value in overrides.items():
        key = known(name, KEYS, f"setting {name!r}")
        if value is None or value in ([], ()):
            continue
        flag = key.about.flag or name
        values[name] = (checked(key, value, flag), Source("flag", flag))
    return values

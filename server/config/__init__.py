"""Configuration: what can be set, where it comes from, and how it is shown.

Precedence: flag > `RWKV_SERVER_…` environment variable > configuration file > default.
`schema`, `model` and `session` say what can be set, `sources` and `entries` read and merge,
`render` writes it back as text.
"""

from server.config.checks import ConfigError
from server.config.model import AdapterSettings, AnyModel, ModelEntry, ModelSettings
from server.config.render import Setting, dump, effective
from server.config.schema import (
    EngineSettings,
    FileSettings,
    LogSettings,
    ServerSettings,
    Settings,
    Source,
)
from server.config.session import SessionSettings
from server.config.sources import find_config_file, load

__all__ = [
    "AdapterSettings",
    "AnyModel",
    "ConfigError",
    "EngineSettings",
    "FileSettings",
    "LogSettings",
    "ModelEntry",
    "ModelSettings",
    "ServerSettings",
    "SessionSettings",
    "Setting",
    "Settings",
    "Source",
    "dump",
    "effective",
    "find_config_file",
    "load",
]

"""Configuration: what can be set, where it comes from, and how it is shown.

Precedence: flag > `RWKV_SERVER_…` environment variable > configuration file > default.
`schema` says what can be set, `sources` reads and merges, `render` writes it back as text.
"""

from server.config.render import Setting, dump, effective
from server.config.schema import (
    EngineSettings,
    LogSettings,
    ModelSettings,
    ServerSettings,
    SessionSettings,
    Settings,
    Source,
)
from server.config.sources import ConfigError, find_config_file, load

__all__ = [
    "ConfigError",
    "EngineSettings",
    "LogSettings",
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

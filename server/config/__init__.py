"""Configuration: what can be set, where it comes from, and how it is shown.

Precedence: flag > `RWKV_SERVER_…` environment variable > configuration file > default.
`server`, `model`, `engine`, `session`, `files` and `log` say what can be set and `schema` names all
of it, `sources` and `entries` read and merge, `render` writes it back as text.
"""

from server.config.checks import ConfigError
from server.config.engine import EngineSettings
from server.config.files import FileSettings
from server.config.log import LogSettings
from server.config.model import AdapterSettings, AnyModel, ModelEntry, ModelSettings
from server.config.render import Setting, dump, effective
from server.config.schema import Settings, Source
from server.config.server import ServerSettings
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

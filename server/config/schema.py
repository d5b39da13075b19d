"""Every setting with its type, default, unit and reason: one frozen model per section.

The text in `About` is the only place a setting is explained; config.toml, docs/config.md and the
error messages are made from it. The settings of a model are in `model`,
those of what is kept in `session`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import ByteSize, Field
from pydantic.fields import FieldInfo

from server.config.about import About, Section, Unset
from server.config.model import AdapterSettings, ModelEntry, ModelSettings
from server.config.session import SessionSettings

PREFIX = "RWKV_SERVER_"
MIB = 1024**2
GIB = 1024**3


class ServerSettings(Section):
    """Where the server listens and whom it answers."""

    host: Annotated[
        str,
        Field(min_length=1),
        About(
            "Address to listen on",
            "an IP address or host name",
            "only this machine can reach it; 0.0.0.0 opens it to the network, with api_keys set",
            flag="--host",
            alias="RWKV_SERVER_HOST",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Field(ge=0, le=65535),
        About(
            "Port to listen on",
            "a port number from 0 to 65535 (0 takes a free one)",
            "what most OpenAI-compatible servers use, so clients need no change",
            flag="--port",
            alias="RWKV_SERVER_PORT",
        ),
    ] = 8000
    api_keys: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(repr=False),
        About(
            "Bearer keys that are let in",
            "a list of non-empty strings ([] asks for no key)",
            "nobody else can reach the default address",
            flag="--api-key",
            alias="RWKV_SERVER_API_KEYS",
            secret=True,
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        About(
            "Web origins whose pages may call the API",
            'a list of origins such as "https://chat.example" ([] lets no other page call)',
            "otherwise any web page open in a browser could talk to the model",
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        About(
            "Names the server may be called by, beside localhost and addresses of this machine",
            'a list of host names such as "chat.example"; [] allows every name, unless the '
            "address is one of this machine alone and there are no api_keys",
            "a web page could otherwise give its own name the address 127.0.0.1, and talk to the "
            "model",
        ),
    ] = ()
    max_body_bytes: Annotated[
        ByteSize,
        Field(ge=1024),
        About(
            "Largest request body that is read",
            'a number of bytes or a size such as "8MiB", at least 1KiB',
            "about two million tokens of text, and a bound on what one request can allocate",
        ),
    ] = ByteSize(8 * MIB)
    request_timeout_s: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False),
        About(
            "Longest time from a request's arrival to its last token",
            "a number of seconds, 0 or more (0 = no limit)",
            "a forgotten request must not hold a slot for ever; "
            "at a little more than one token a second, default_max_tokens still fit",
        ),
    ] = 1800.0
    max_concurrent_per_key: Annotated[
        int,
        Field(ge=0),
        About(
            "Requests of one key that may be under way at a time; the next one is answered with "
            "429",
            "a number of requests, 0 or more (0 = no limit)",
            "callers take turns for slots in any case, and a server of one person has nobody to "
            "share with",
        ),
    ] = 0
    requests_per_minute_per_key: Annotated[
        int,
        Field(ge=0),
        About(
            "Requests of one key in a minute; beyond them it is answered with 429",
            "a number of requests, 0 or more (0 = no limit)",
            "a limit is for servers that several people share",
        ),
    ] = 0
    tokens_per_minute_per_key: Annotated[
        int,
        Field(ge=0),
        About(
            "Tokens of one key in a minute, of prompts and answers; beyond them it is answered "
            "with 429",
            "a number of tokens, 0 or more (0 = no limit)",
            "a limit is for servers that several people share",
        ),
    ] = 0


class EngineSettings(Section):
    """How many requests run together, and their bounds."""

    max_slots: Annotated[
        int,
        Field(ge=1),
        About(
            "Sequences that are computed together",
            "a number of sequences, 1 or more",
            "their states take about 1 GiB on the device with a 7B model",
        ),
    ] = 32
    prefill_chunk: Annotated[
        int,
        Field(ge=1),
        About(
            "Prompt tokens computed in one step beside the decoding sequences",
            "a number of tokens, 1 or more",
            "large enough to keep matrices full, small enough that running answers do not stall",
        ),
    ] = 256
    speculation: Annotated[
        Literal["auto", "off"],
        About(
            "Whether text that repeats itself is guessed and several tokens verified in one step",
            '"auto" where a step has room for more tokens, "off"',
            "the answers are the same; it is of use to one or two at a time, and idle beside more",
        ),
    ] = "auto"
    max_queue: Annotated[
        int,
        Field(ge=0),
        About(
            "Requests that may wait for a slot; the next one is answered with 429",
            "a number of requests, 0 or more",
            "two full batches: beyond that a client does better to retry later",
        ),
    ] = 64
    max_wait_s: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False),
        About(
            "Longest time a request waits for a slot; then it is answered with 503",
            "a number of seconds, 0 or more (0 = no limit)",
            "clients have time limits of their own, and max_queue bounds how many can wait",
        ),
    ] = 0.0
    default_max_tokens: Annotated[
        int,
        Field(ge=1),
        About(
            "Length of an answer whose request names no limit",
            "a number of tokens, 1 or more",
            "long enough for a full answer, short enough to end a model that repeats itself",
        ),
    ] = 2048
    models_bytes: Annotated[
        ByteSize,
        Field(ge=0),
        About(
            "Memory for loaded models: their weights and the states of their slots; idle ones make "
            "room for one that is asked for",
            'a number of bytes or a size such as "16GiB" (0 = no limit)',
            "with a single model there is nothing to weigh",
        ),
    ] = ByteSize(0)
    packed_weights: Annotated[
        str,
        Field(min_length=1),
        About(
            "Where weights are kept as the native library packs them, so that later starts are "
            "quick; a file for each model of 50 million parameters or more and number format",
            "auto (beside the checkpoint, or in $XDG_CACHE_HOME/rwkv-server where that cannot be "
            "written to), off, or the path of a folder",
            "packing takes longer than reading what was packed; the files can be deleted at any "
            "time",
        ),
    ] = "auto"
    max_prompt_tokens: Annotated[
        int,
        Field(ge=0),
        About(
            "Longest prompt that is accepted",
            "a number of tokens, 0 or more (0 = no limit)",
            "a recurrent model has no context limit of its own",
        ),
    ] = 0


class FileSettings(Section):
    """What clients may upload, for batches."""

    max_file_bytes: Annotated[
        ByteSize,
        Field(ge=1024),
        About(
            "Largest file that can be uploaded",
            'a number of bytes or a size such as "200MiB", at least 1KiB',
            "as much as OpenAI takes for a batch",
        ),
    ] = ByteSize(200 * MIB)
    max_bytes: Annotated[
        ByteSize,
        Field(ge=0),
        About(
            "Room for all files together; the results of batches are kept beyond it",
            'a number of bytes or a size such as "2GiB" (0 = no limit)',
            "an upload must not fill the disk",
        ),
    ] = ByteSize(2 * GIB)
    batch_days: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False),
        About(
            "How long a batch is kept after its end, with the files it made",
            "a number of days, 0 or more (0 = for ever)",
            "results are fetched soon, or never",
        ),
    ] = 30.0


class LogSettings(Section):
    """What is written to standard error, and which traces are sent."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        About(
            "Least severity that is logged",
            "debug, info, warning or error",
            "info tells what was loaded and who was refused; "
            "debug also shows messages of unexpected errors, which can quote a prompt",
        ),
    ] = "info"
    format: Annotated[
        Literal["text", "json"],
        About(
            "One line of text for each event, or one JSON object",
            "text or json",
            "people read the first minute of a log; json suits a log collector",
        ),
    ] = "text"
    access: Annotated[
        bool,
        About(
            "Log one line for each request: method, path, status and time, never its content",
            "true or false",
            "shows at a glance whether a client arrives at all",
        ),
    ] = True
    otlp_endpoint: Annotated[
        str | None,
        Unset,
        About(
            "OpenTelemetry collector that traces of requests are sent to, without their content",
            'the address of its OTLP over HTTP, such as "http://127.0.0.1:4318" (empty = what '
            "OTEL_EXPORTER_OTLP_ENDPOINT says, else none)",
            "nothing is sent anywhere unless someone asks for it",
        ),
    ] = None


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

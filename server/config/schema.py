"""Every setting with its type, default, unit and reason: one frozen model per section.

The text in `About` is the only place a setting is explained; config.toml, docs/config.md and the
error messages are made from it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field
from pydantic.fields import FieldInfo

PREFIX = "RWKV_SERVER_"
MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class About:
    """What a setting does (`what`), the values it takes (`unit`), and why its default is so."""

    what: str
    unit: str
    reason: str
    flag: str | None = None
    alias: str | None = None  # a short environment variable beside the systematic one
    secret: bool = False


class Section(BaseModel):
    """One table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _empty_is_unset(value: Any) -> Any:
    return None if value == "" else value


# TOML has no null, so the empty string stands for it.
Unset = BeforeValidator(_empty_is_unset)


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


class ModelSettings(Section):
    """What is loaded, and how."""

    path: Annotated[
        str,
        Field(min_length=1),
        About(
            "The model to serve",
            "the name of a bundled or pulled model, or the path of a checkpoint file or folder",
            "the bundled demo model answers at once, without a download",
            flag="--model",
            alias="RWKV_SERVER_MODEL",
        ),
    ] = "gosling"
    id: Annotated[
        str | None,
        Unset,
        About(
            "The name clients see in /v1/models and send as `model`",
            "a string (empty = the short name, or the file's name without its ending)",
            "the file's name is what people know a checkpoint by",
        ),
    ] = None
    tokenizer: Annotated[
        str | None,
        Unset,
        About(
            "Tokenizer or vocabulary file",
            "a path (empty = the one beside the model, else RWKV World)",
            "nearly every RWKV checkpoint uses the World vocabulary",
            flag="--tokenizer",
        ),
    ] = None
    template: Annotated[
        str,
        Field(min_length=1),
        About(
            "Chat template",
            "auto (chosen by the model), g1, world, raven, alpaca, or the path of a .jinja file",
            "a wrong template spoils every answer, and the model's file tells which one fits",
            flag="--template",
        ),
    ] = "auto"
    keep_thinking: Annotated[
        bool,
        About(
            "Whether a conversation's state remembers what was thought before its answers",
            "true or false (false reads every answer again without its thoughts)",
            "the state that did the thinking is there already, and a follow-up may need it",
        ),
    ] = True
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        About(
            "Where the model runs",
            "auto, cpu or cuda",
            "auto takes the GPU where torch sees one",
            flag="--device",
            alias="RWKV_SERVER_DEVICE",
        ),
    ] = "auto"
    dtype: Annotated[
        Literal["auto", "float32", "bf16", "fp16", "int8"],
        About(
            "Number format of the weights; the recurrent state is always float32",
            "auto, float32, bf16, fp16 or int8",
            "auto takes what the device computes fastest without losing quality; int8 is for RWKV-7 "
            "on the CPU, half the size of bf16 and faster",
            flag="--dtype",
            alias="RWKV_SERVER_DTYPE",
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Field(ge=0),
        About(
            "CPU threads the model computes with",
            "a number of threads (0 = one for each core this process may use, and a single one "
            "for a model under 10 million parameters)",
            "more threads than cores only wait for each other",
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
    max_queue: Annotated[
        int,
        Field(ge=0),
        About(
            "Requests that may wait for a slot; the next one is answered with 429",
            "a number of requests, 0 or more",
            "two full batches: beyond that a client does better to retry later",
        ),
    ] = 64
    default_max_tokens: Annotated[
        int,
        Field(ge=1),
        About(
            "Length of an answer whose request names no limit",
            "a number of tokens, 1 or more",
            "long enough for a full answer, short enough to end a model that repeats itself",
        ),
    ] = 2048
    max_prompt_tokens: Annotated[
        int,
        Field(ge=0),
        About(
            "Longest prompt that is accepted",
            "a number of tokens, 0 or more (0 = no limit)",
            "a recurrent model has no context limit of its own",
        ),
    ] = 0


class SessionSettings(Section):
    """What is remembered between turns."""

    memory_bytes: Annotated[
        ByteSize,
        Field(ge=0),
        About(
            "Host memory for kept conversation states",
            'a number of bytes or a size such as "1GiB" (0 keeps nothing)',
            "about thirty states of a 7B model, thousands of a small one",
        ),
    ] = ByteSize(GIB)


class LogSettings(Section):
    """What is written to standard error."""

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

    sources: dotted setting name → where its value came from; a name that is absent is a default.
    """

    server: ServerSettings = field(default_factory=ServerSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    log: LogSettings = field(default_factory=LogSettings)
    sources: Mapping[str, Source] = field(default_factory=lambda: MappingProxyType({}))


SECTIONS: Mapping[str, type[Section]] = MappingProxyType(
    {
        "server": ServerSettings,
        "model": ModelSettings,
        "engine": EngineSettings,
        "sessions": SessionSettings,
        "log": LogSettings,
    }
)


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: `section`.`field`, with its pydantic field and its explanation."""

    section: str
    field: str
    info: FieldInfo
    about: About

    @property
    def name(self) -> str:
        return f"{self.section}.{self.field}"

    @property
    def env(self) -> str:
        return f"{PREFIX}{self.section}__{self.field}".upper()


def _keys() -> Iterator[Key]:
    for section, model in SECTIONS.items():
        for name, info in model.model_fields.items():
            about = next(item for item in info.metadata if isinstance(item, About))
            yield Key(section, name, info, about)


KEYS: Mapping[str, Key] = MappingProxyType({key.name: key for key in _keys()})

"""The settings of the server's address, of who may call it, and how much."""

from typing import Annotated

from pydantic import ByteSize, Field

from server.config.about import About, Section

_MIB = 1024**2


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
    ] = ByteSize(8 * _MIB)
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

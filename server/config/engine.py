"""The settings of what is computed together, and of its bounds."""

from typing import Annotated, Literal

from pydantic import ByteSize, Field

from server.config.about import About, Section


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

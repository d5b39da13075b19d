"""The settings of what is kept between turns, and beyond the server."""

from typing import Annotated, Literal

from pydantic import ByteSize, Field

from server.config.about import About, Section, Unset

_GIB = 1024**3


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
    ] = ByteSize(_GIB)
    archive: Annotated[
        bool,
        About(
            "Keep conversations, responses and batches on disk, so that they outlive the server",
            "true or false",
            "a follow-up after a restart should cost only its own words as well",
        ),
    ] = True
    data_dir: Annotated[
        str | None,
        Unset,
        About(
            "Folder for what is kept, which only this user may read",
            "the path of a folder (empty = rwkv-server in the user's folder for data: "
            "$XDG_DATA_HOME or ~/.local/share, on macOS ~/Library/Application Support, on Windows "
            "%LOCALAPPDATA%)",
            "where programs keep data that is not to be lost",
            flag="--data-dir",
            alias="RWKV_SERVER_DATA_DIR",
        ),
    ] = None
    disk_bytes: Annotated[
        ByteSize,
        Field(ge=0),
        About(
            "Disk space for kept conversation states",
            'a number of bytes or a size such as "4GiB" (0 keeps nothing on disk)',
            "a hundred states of a 7B model, ten thousand of a small one, on any disk of today",
        ),
    ] = ByteSize(4 * _GIB)
    archive_days: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False),
        About(
            "How long a state, or a document in the shared store, outlives its last use outside of "
            "memory; pinned ones stay",
            "a number of days, 0 or more (0 = no limit)",
            "what nobody has come back to in a month will hardly be missed",
        ),
    ] = 30.0
    sync_interval_s: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False),
        About(
            "How long what is written may wait for the disk to confirm it",
            "a number of seconds (0 = until the disk has confirmed it, an answer has not ended)",
            "an answer that has ended is never lost, even if the power fails",
        ),
    ] = 0.0
    archive_dtype: Annotated[
        Literal["float32", "float16", "bf16"],
        About(
            "Number format of float32 states outside of memory",
            "float32, float16 or bf16",
            "a state comes back exactly as it was; the others take nearly half the space and "
            "change the next words a little",
        ),
    ] = "float32"
    encryption_key: Annotated[
        str | None,
        Unset,
        Field(repr=False),
        About(
            "Key that states, documents, files and batches are encrypted with outside of memory",
            "32 bytes in hexadecimal or base64 (empty = no encryption)",
            "a disk that is encrypted as a whole needs no second key, and a lost key loses all",
            secret=True,
        ),
    ] = None
    encryption_key_file: Annotated[
        str | None,
        Unset,
        About(
            "File that has this key",
            "the path of a file (empty = none)",
            "most conversations are not encrypted",
        ),
    ] = None
    store_url: Annotated[
        str | None,
        Unset,
        Field(repr=False),
        About(
            "Valkey or Redis in which several servers share kept states and stored documents",
            'an address such as "redis://host:6379/0", with rediss: for TLS (empty = none)',
            "one server needs no other",
            secret=True,
        ),
    ] = None
    max_pinned_bytes: Annotated[
        ByteSize,
        Field(ge=0),
        About(
            "Bytes of states that one caller may pin; never more than half of memory or disk",
            'a number of bytes or a size such as "256MiB" (0 = nobody pins)',
            "several states of a 7B model, and most of the room stays for what is being said",
        ),
    ] = ByteSize(_GIB // 4)
    max_import_bytes: Annotated[
        ByteSize,
        Field(ge=0),
        About(
            "Largest session file that is imported or exported, which memory has to hold",
            'a number of bytes or a size such as "512MiB" (0 = none is)',
            "a dozen turns of a 7B model, thousands of a small one",
        ),
    ] = ByteSize(_GIB // 2)
    records_bytes: Annotated[
        ByteSize,
        Field(ge=0),
        About(
            "Host memory, and disk space, for stored responses, chat completions and conversations",
            'a number of bytes or a size such as "256MiB" (0 keeps nothing)',
            "tens of thousands of answers",
        ),
    ] = ByteSize(_GIB // 4)

"""The settings of what clients upload, and of batches."""

from typing import Annotated

from pydantic import ByteSize, Field

from server.config.about import About, Section

_MIB = 1024**2
_GIB = 1024**3


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
    ] = ByteSize(200 * _MIB)
    max_bytes: Annotated[
        ByteSize,
        Field(ge=0),
        About(
            "Room for all files together; the results of batches are kept beyond it",
            'a number of bytes or a size such as "2GiB" (0 = no limit)',
            "an upload must not fill the disk",
        ),
    ] = ByteSize(2 * _GIB)
    batch_days: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False),
        About(
            "How long a batch is kept after its end, with the files it made",
            "a number of days, 0 or more (0 = for ever)",
            "results are fetched soon, or never",
        ),
    ] = 30.0

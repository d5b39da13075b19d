"""Where checkpoints come from: bundled ones, the local cache, and the hub they are fetched from.

`names` reads what a person typed, `local` finds what is here without any network, `download`
fetches. The cache is Hugging Face's own, in its documented layout, so that other tools find what
was pulled here and the other way round. huggingface_hub is imported where it is used: to serve a
local file it is not needed.
"""

from server.hub.errors import HubError, SeveralCheckpoints, Unreachable
from server.hub.local import BUNDLED, Checkpoint, Found, find, stored
from server.hub.names import Reference, parse, size_text

__all__ = [
    "BUNDLED",
    "Checkpoint",
    "Found",
    "HubError",
    "Reference",
    "SeveralCheckpoints",
    "Unreachable",
    "find",
    "parse",
    "size_text",
    "stored",
]

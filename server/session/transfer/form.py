"""What is the same for whoever writes a session file and whoever reads one."""

from dataclasses import dataclass

FORMAT, VERSION = "rwkv-server session", "1"
PARTS = ("wkv", "logits", "att_shift", "ffn_shift", "fed", "told")
"""The tensors of a snapshot, in the order of the file."""

HEADER_BYTES = 2**22
"""No header is longer."""


class TransferError(ValueError):
    """A file that is no session this version can read; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class About:
    """What a file says of itself; model, tokenizer and template are names for people."""

    fingerprint: str
    model: str
    tokenizer: str
    template: str
    pinned: str  # 0 or 1

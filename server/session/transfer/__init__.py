"""A session as one file that another server can read: safetensors, in a fixed order.

Metadata: `format` and `version`, what made the states (fingerprint, and names for people), how
many snapshots there are, and a digest of all that follows the header. For snapshot i the tensors
`i.wkv`, `i.logits`, `i.att_shift`, `i.ffn_shift`, `i.fed` and `i.told`, in this order and without
gaps. Nothing names an owner, and no key is in it: whoever reads it names the states anew.
"""

from server.session.transfer.form import HEADER_BYTES, About, TransferError
from server.session.transfer.reader import Reader
from server.session.transfer.writer import write

__all__ = ["HEADER_BYTES", "About", "Reader", "TransferError", "write"]

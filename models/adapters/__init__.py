"""Adapters: what training added to a checkpoint, in a small file of its own.

Four kinds, after Joluck/RWKV-PEFT: tuned initial states, which leave the weights alone, and LoRA,
PiSSA and DiSHA (once called Bone), which are merged into them. A file is opened without its
model; whether the two fit is seen when they meet.
"""

from models.adapters.adapter import Adapter, open_adapter
from models.adapters.merge import Change, changes, merged_fingerprint
from models.adapters.names import AdapterError
from models.adapters.state import initial_state, initial_wkv

__all__ = [
    "Adapter",
    "AdapterError",
    "Change",
    "changes",
    "initial_state",
    "initial_wkv",
    "merged_fingerprint",
    "open_adapter",
]

"""Which names and shapes a file has for its tensors, and the official ones in their place."""

from pathlib import Path

from models.layouts.fla_rwkv7 import FLA_RWKV7
from models.layouts.gguf_rwkv import GGUF_RWKV
from models.layouts.hf_rwkv import HF_RWKV
from models.layouts.translate import Layout, Translated
from models.layouts.web_rwkv import WEB_RWKV
from models.shards import read_json
from models.tensors import LazyTensors

__all__ = ["official"]

_LAYOUTS: tuple[Layout, ...] = (GGUF_RWKV, HF_RWKV, FLA_RWKV7, WEB_RWKV)


def official(stored: LazyTensors, folder: Path) -> tuple[str, LazyTensors]:
    """(name of the layout, tensors under official names); what no layout knows stays as it is.

    folder: where the file lies, for the config.json beside it. Raises CheckpointError for what is
    recognised but cannot be served.
    """
    for layout in _LAYOUTS:
        if layout.recognises(stored):
            path = folder / "config.json"
            config = read_json(path) if path.is_file() else {}
            layout.check(stored, config)
            return layout.name, Translated(stored, layout, config)
    return "official", stored

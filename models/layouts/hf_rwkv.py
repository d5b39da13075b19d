"""Folders of transformers' `RwkvForCausalLM`: RWKV-4, and 5 and 6 where they go by its names.

Names: transformers, models/rwkv/modeling_rwkv.py; for 6 the converter of ggml-org/llama.cpp.
Everything has its official shape; `rescale_every` of the configuration is for running only.
"""

import re
from collections.abc import Iterator

from models.base import CheckpointError
from models.layouts.translate import Config, Layout, Named, Source
from models.tensors import LazyTensors

_EMBEDDING = "rwkv.embeddings.weight"
_PARTS = {"pre_ln": "ln0", "attention": "att", "feed_forward": "ffn"}
_EPS = 1e-5


def _recognises(stored: LazyTensors) -> bool:
    return _EMBEDDING in stored


def _check(stored: LazyTensors, config: Config) -> None:
    del stored
    eps = config.get("layer_norm_epsilon", _EPS)
    if eps != _EPS:
        raise CheckpointError(f"its config.json has layer_norm_epsilon {eps}, expected {_EPS}")


def _translate(stored: LazyTensors, config: Config) -> Iterator[Named]:
    for name in stored:
        yield _official(name), Source(name)
    if "head.weight" not in stored and config.get("tie_word_embeddings"):
        yield "head.weight", Source(_EMBEDDING)


def _official(name: str) -> str:
    if name == _EMBEDDING:
        return "emb.weight"
    found = re.fullmatch(r"rwkv\.(blocks\.\d+)\.(\w+)\.(.+)", name)
    if not found:
        return name.removeprefix("rwkv.")
    block, part, rest = found.groups()
    rest = re.sub(r"^time_mix_([kvrg])(ey|alue|eceptance|ate)$", r"time_mix_\1", rest)
    return f"{block}.{_PARTS.get(part, part)}.{rest}"


HF_RWKV = Layout("transformers", _recognises, _check, _translate)

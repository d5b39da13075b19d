"""Folders of flash-linear-attention's `RWKV7ForCausalLM`, as the official ones on the hub are.

Names: fla-org/flash-linear-attention, utils/convert_from_rwkv7.py and fla/layers/rwkv7.py. The low
ranks are linear layers there, so that both their matrices are turned; older files have the six
x_* as one x_x.
"""

import re
from collections.abc import Iterator
from math import isclose

from models.base import CheckpointError
from models.layers import GROUP_NORM_EPS, LAYER_NORM_EPS
from models.layouts.translate import Config, Layout, Named, Source, row, turned
from models.tensors import LazyTensors

_TOP = {
    "model.embeddings.weight": "emb.weight",
    "model.norm.weight": "ln_out.weight",
    "model.norm.bias": "ln_out.bias",
    "lm_head.weight": "head.weight",
}
_EMBEDDING = "model.embeddings.weight"
_PARTS = {"pre_norm": "ln0", "attn_norm": "ln1", "ffn_norm": "ln2", "attn": "att"}
_TIME_MIX = {
    "r_proj": "receptance",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "output",
    "g_norm": "ln_x",
}
_LOW_RANK = {"0.weight": ("1", turned), "2.weight": ("2", turned), "2.bias": ("0", None)}
_FUSED = "rwkvag"


def _recognises(stored: LazyTensors) -> bool:
    return _EMBEDDING in stored and "model.layers.0.attn.r_k" in stored


def _check(stored: LazyTensors, config: Config) -> None:
    eps = config.get("norm_eps", LAYER_NORM_EPS)
    shape = stored.outline("model.layers.0.attn.r_k").shape
    size = shape[-1] if shape else 0
    if eps != LAYER_NORM_EPS or not isclose(eps * size, GROUP_NORM_EPS):
        raise CheckpointError(
            f"its config.json has norm_eps {eps} at a head size of {size}, "
            f"expected {LAYER_NORM_EPS} at 64"
        )
    activation = config.get("hidden_act", "sqrelu")
    if activation != "sqrelu":
        raise CheckpointError(f"its config.json has hidden_act {activation!r}, expected 'sqrelu'")


def _translate(stored: LazyTensors, config: Config) -> Iterator[Named]:
    for name in stored:
        yield from _official(name)
    if "lm_head.weight" not in stored and config.get("tie_word_embeddings"):
        yield "head.weight", Source(_EMBEDDING)


def _official(name: str) -> Iterator[Named]:
    found = re.fullmatch(r"model\.layers\.(\d+)\.(\w+)\.(.+)", name)
    if not found:
        yield _TOP.get(name, name), Source(name)
        return
    number, part, rest = found.groups()
    prefix = f"blocks.{number}.{_PARTS.get(part, part)}."
    if part != "attn":
        yield prefix + rest, Source(name)
    elif rest == "x_x":
        for i, letter in enumerate(_FUSED):
            yield f"{prefix}x_{letter}", Source(name, row(i, len(_FUSED)))
    else:
        yield _time_mix(name, prefix, rest)


def _time_mix(name: str, prefix: str, rest: str) -> Named:
    letter, _, place = rest.partition("_lora.lora.")
    if place in _LOW_RANK:
        digit, change = _LOW_RANK[place]
        return f"{prefix}{letter}{digit}", Source(name, change)
    layer, dot, parameter = rest.partition(".")
    return f"{prefix}{_TIME_MIX.get(layer, layer)}{dot}{parameter}", Source(name)


FLA_RWKV7 = Layout("fla", _recognises, _check, _translate)

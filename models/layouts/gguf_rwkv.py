"""GGUF files of llama.cpp's architectures rwkv6 and rwkv7.

Names and shapes: ggml-org/llama.cpp, conversion/rwkv.py, gguf-py/gguf/tensor_mapping.py and
src/models/rwkv6-base.cpp, rwkv7-base.cpp. Low ranks are turned; token shift shares are stored as
one tensor, in the order w, k, v, r, g (6) or r, w, k, v, a, g (7); r_k is flat; layer 0 of 7 has
stand-ins for v0, v1 and v2; in 6 later layers' output and value are halved every
rescale_every_n_layers, which is undone here, since the models here halve for float16 only.
"""

import re
from collections.abc import Iterator

from models.base import CheckpointError
from models.layouts.translate import Change, Config, Layout, Named, Source, row, turned
from models.tensors import LazyTensors

_ARCHITECTURE = "general.architecture"
_TOP = {
    "token_embd.weight": "emb.weight",
    "token_embd_norm.weight": "blocks.0.ln0.weight",
    "token_embd_norm.bias": "blocks.0.ln0.bias",
    "output_norm.weight": "ln_out.weight",
    "output_norm.bias": "ln_out.bias",
    "output.weight": "head.weight",
}
_COMMON = {
    "attn_norm": "ln1",
    "attn_norm_2": "ln2",
    "time_mix_ln": "att.ln_x",
    "time_mix_key": "att.key",
    "time_mix_value": "att.value",
    "time_mix_receptance": "att.receptance",
    "time_mix_gate": "att.gate",
    "time_mix_output": "att.output",
    "channel_mix_key": "ffn.key",
    "channel_mix_value": "ffn.value",
    "channel_mix_receptance": "ffn.receptance",
}
_BARE = {
    "rwkv6": {
        "time_mix_w1": "att.time_maa_w1",
        "time_mix_w2": "att.time_maa_w2",
        "time_mix_lerp_x": "att.time_maa_x",
        **{f"time_mix_lerp_{letter}": f"att.time_maa_{letter}" for letter in "wkvrg"},
        "time_mix_first": "att.time_faaaa",
        "time_mix_decay": "att.time_decay",
        "time_mix_decay_w1": "att.time_decay_w1",
        "time_mix_decay_w2": "att.time_decay_w2",
        "channel_mix_lerp_k": "ffn.time_maa_k",
        "channel_mix_lerp_r": "ffn.time_maa_r",
    },
    "rwkv7": {
        **{f"time_mix_{it}": f"att.{it}" for it in ("w0", "a0", "v0", "k_k", "k_a", "r_k")},
        **{f"time_mix_{letter}{i}": f"att.{letter}{i}" for letter in "wavg" for i in "12"},
        "channel_mix_lerp_k": "ffn.x_k",
    },
}
_FUSED = {"rwkv6": ("att.time_maa_", "wkvrg"), "rwkv7": ("att.x_", "rwkvag")}
_TURNED = re.compile(r"time_mix_(decay_)?[wavg][12]")
_HALVED = ("time_mix_output", "channel_mix_value")
_STAND_INS = re.compile(r"blk\.0\.time_mix_v[012]\.weight")


def _recognises(stored: LazyTensors) -> bool:
    return stored.container == "GGUF"


def _check(stored: LazyTensors, config: Config) -> None:
    del config
    architecture = stored.metadata.get(_ARCHITECTURE)
    if architecture not in _BARE:
        raise CheckpointError(
            f"this is a GGUF file of the architecture {architecture}, expected rwkv6 or rwkv7"
        )
    if _number(stored, "split.count", 1) > 1:
        raise CheckpointError(
            "this GGUF file is one part of several; merge them with llama-gguf-split"
        )


def _translate(stored: LazyTensors, config: Config) -> Iterator[Named]:
    del config
    architecture = stored.metadata[_ARCHITECTURE]
    for name in stored:
        found = re.fullmatch(r"blk\.(\d{1,6})\.(\w+)\.(weight|bias)", name)
        if not found:
            yield _TOP.get(name, name), Source(name)
        elif architecture != "rwkv7" or not _STAND_INS.fullmatch(name):
            yield from _in_block(stored, architecture, name, found)


def _in_block(
    stored: LazyTensors, architecture: str, name: str, found: re.Match[str]
) -> Iterator[Named]:
    number, part, parameter = found.groups()
    block = f"blocks.{number}."
    if part == "time_mix_lerp_fused":
        prefix, letters = _FUSED[architecture]
        for i, letter in enumerate(letters):
            yield f"{block}{prefix}{letter}", Source(name, row(i, len(letters)))
    elif part in _BARE[architecture]:
        yield block + _BARE[architecture][part], Source(name, _change(stored, architecture, part))
    else:
        change = _undo_halving(stored, architecture, int(number)) if part in _HALVED else None
        yield f"{block}{_COMMON.get(part, part)}.{parameter}", Source(name, change)


def _change(stored: LazyTensors, architecture: str, part: str) -> Change | None:
    if part == "time_mix_r_k":
        size = _number(stored, f"{architecture}.wkv.head_size", 64)
        return lambda tensor: tensor.reshape(-1, size)
    return turned if _TURNED.fullmatch(part) else None


def _undo_halving(stored: LazyTensors, architecture: str, number: int) -> Change | None:
    every = _number(stored, f"{architecture}.rescale_every_n_layers", 0)
    if every < 1 or number < every:
        return None
    return lambda tensor: tensor * 2.0 ** (number // every)


def _number(stored: LazyTensors, key: str, default: int) -> int:
    text = stored.metadata.get(key, str(default))
    if not re.fullmatch(r"\d{1,9}", text):
        raise CheckpointError(f"its {key} is {text!r}, expected a number")
    return int(text)


GGUF_RWKV = Layout("llama.cpp", _recognises, _check, _translate)

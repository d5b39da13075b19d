"""Files for web-rwkv and Ai00 (`.st`): safetensors in fp16, close to the official names.

Source: cryscan/web-rwkv-converter, src/lib.rs. It renames time_faaaa to time_first and time_maa to
time_mix and turns the low ranks. RWKV-4 files come out as they were; in RWKV-5.2 and 7 no name
tells, so that number formats and shapes must.
"""

import re
from collections.abc import Iterator

import torch

from models.layouts.translate import Config, Layout, Named, Source, turned
from models.tensors import OFFICIAL, LazyTensors

_ATT = "blocks.0.att."
_TURNED = re.compile(r"\.att\.(time_mix_w[12]|time_decay_w[12]|[wavg][12]|time_state)$")


def _recognises(stored: LazyTensors) -> bool:
    return (
        f"{_ATT}time_mix_w1" in stored
        or _has_turned_low_ranks(stored)
        or _has_matrices_of_bonus(stored)
    )


def _has_turned_low_ranks(stored: LazyTensors) -> bool:
    """RWKV-7 with w1 [D,C] and w2 [C,D]."""
    names = ("emb.weight", f"{_ATT}w1", f"{_ATT}w2")
    if any(name not in stored for name in names):
        return False
    table, down, up = (tuple(stored.outline(name).shape) for name in names)
    width = table[-1:]
    return down == up[::-1] and down[1:] == width != down[:1]


def _has_matrices_of_bonus(stored: LazyTensors) -> bool:
    """RWKV-5.2 with time_first [H,N] in nothing but fp16 in safetensors.

    Under that name a .pth has logarithms of it, and so has what `models.convert` made of one.
    """
    bonus, gate = f"{_ATT}time_first", f"{_ATT}gate.weight"
    if stored.container != "safetensors" or OFFICIAL in stored.metadata:
        return False
    if bonus not in stored or gate not in stored:
        return False
    shape = stored.outline(bonus).shape
    halves = all(stored.outline(name).dtype == torch.float16 for name in stored)
    return halves and len(shape) == 2 and shape[1] > 1


def _check(stored: LazyTensors, config: Config) -> None:
    """Nothing in a configuration belongs to these files."""


def _translate(stored: LazyTensors, config: Config) -> Iterator[Named]:
    del config
    is_four = f"{_ATT}ln_x.weight" not in stored
    is_six = f"{_ATT}time_mix_w1" in stored
    for name in stored:
        official = name if is_four else name.replace(".time_first", ".time_faaaa")
        official = official.replace(".time_mix_", ".time_maa_") if is_six else official
        yield official, Source(name, turned if _TURNED.search(name) else None)


WEB_RWKV = Layout("web-rwkv", _recognises, _check, _translate)

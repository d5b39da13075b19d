"""The tensors of RWKV-5.0, 5.1 and 5.2."""

from collections.abc import Mapping

from torch import Tensor

from models.base import CheckpointError, ModelSpec
from models.detect.rwkv4 import token_shift
from models.detect.shapes import Shapes, channel_mix, common, pair, present, squares, vectors


def heads(tensors: Mapping[str, Tensor], width: int) -> tuple[int, int]:
    """How many, of what size; only their decays tell."""
    name = "blocks.0.att.time_decay"
    shape = present(tensors, name).shape
    count = shape[0] if shape else 0
    if count < 1 or width % count:
        raise CheckpointError(
            f"{name} has shape {list(shape)}, which does not divide the width {width} into heads"
        )
    return count, width // count


def shapes(tensors: Mapping[str, Tensor], spec: ModelSpec) -> Shapes:
    """Every tensor that forward reads; the bonus goes by either of two names."""
    has_gate = spec.generation != "5.0"
    per_head = (spec.heads, spec.head_size) if spec.generation == "5.2" else (spec.heads,)
    expected = common(spec)
    for i in range(spec.layers):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        bonus = "time_faaaa" if f"{att}time_faaaa" in tensors else "time_first"
        expected |= dict.fromkeys((f"{att}time_decay", att + bonus), per_head)
        expected |= token_shift(spec, att, "kvrg" if has_gate else "kvr")
        expected |= token_shift(spec, ffn, "kr") | vectors(spec, *pair(f"{att}ln_x"))
        expected |= squares(spec, att, "key", "value", "receptance", "output")
        expected |= squares(spec, att, "gate") if has_gate else {}
        expected |= squares(spec, ffn, "receptance") | channel_mix(spec, ffn)
    return expected

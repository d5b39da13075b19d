"""The tensors of RWKV-6."""

from collections.abc import Mapping

from torch import Tensor

from models.base import ModelSpec
from models.detect.shapes import (
    Shapes,
    channel_mix,
    common,
    heads_of,
    matrix,
    pair,
    squares,
    vectors,
)


def heads(tensors: Mapping[str, Tensor], width: int) -> tuple[int, int]:
    """How many, of what size."""
    return heads_of(tensors, "blocks.0.att.time_faaaa", width)


def shapes(tensors: Mapping[str, Tensor], spec: ModelSpec) -> Shapes:
    """Every tensor that forward reads; low ranks are taken from the file, layer by layer."""
    expected = common(spec)
    for i in range(spec.layers):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        expected[f"{att}time_faaaa"] = (spec.heads, spec.head_size)
        expected |= vectors(spec, f"{att}time_decay", *pair(f"{att}ln_x"))
        expected |= vectors(spec, *(f"{att}time_maa_{letter}" for letter in "xwkvrg"))
        expected |= vectors(spec, f"{ffn}time_maa_k", f"{ffn}time_maa_r")
        expected |= _low_ranks(tensors, spec, att)
        expected |= squares(spec, att, "key", "value", "receptance", "gate", "output")
        expected |= squares(spec, ffn, "receptance") | channel_mix(spec, ffn)
    return expected


def _low_ranks(tensors: Mapping[str, Tensor], spec: ModelSpec, att: str) -> Shapes:
    rank = matrix(tensors, f"{att}time_decay_w1")[1]
    mix_rank = matrix(tensors, f"{att}time_maa_w1")[1] // 5  # of w, k, v, r and g, side by side
    return {
        f"{att}time_decay_w1": (spec.width, rank),
        f"{att}time_decay_w2": (rank, spec.width),
        f"{att}time_maa_w1": (spec.width, 5 * mix_rank),
        f"{att}time_maa_w2": (5, mix_rank, spec.width),
    }

"""The tensors of RWKV-7."""

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
    return heads_of(tensors, "blocks.0.att.r_k", width)


def shapes(tensors: Mapping[str, Tensor], spec: ModelSpec) -> Shapes:
    """Every tensor that forward reads; low ranks are taken from the file, layer by layer."""
    expected = common(spec)
    for i in range(spec.layers):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        letters = "wavg" if i else "wag"  # layer 0 has no use for v0, v1, v2
        expected[f"{att}r_k"] = (spec.heads, spec.head_size)
        expected |= vectors(spec, f"{att}k_k", f"{att}k_a", f"{ffn}x_k", *pair(f"{att}ln_x"))
        expected |= vectors(spec, *(f"{att}x_{letter}" for letter in "rwkvag"))
        expected |= vectors(spec, *(f"{att}{letter}0" for letter in letters if letter != "g"))
        for letter in letters:
            rank = matrix(tensors, f"{att}{letter}1")[1]
            expected[f"{att}{letter}1"] = (spec.width, rank)
            expected[f"{att}{letter}2"] = (rank, spec.width)
        expected |= squares(spec, att, "receptance", "key", "value", "output")
        expected |= channel_mix(spec, ffn)
    return expected

"""The tensors of RWKV-4."""

from collections.abc import Mapping

from torch import Tensor

from models.base import ModelSpec
from models.detect.shapes import Shapes, channel_mix, common, squares, vectors


def heads(tensors: Mapping[str, Tensor], width: int) -> tuple[int, int]:
    """How many, of what size: every channel is one."""
    del tensors
    return width, 1


def shapes(tensors: Mapping[str, Tensor], spec: ModelSpec) -> Shapes:
    """Every tensor that forward reads."""
    del tensors
    expected = common(spec)
    for i in range(spec.layers):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        expected |= vectors(spec, att + "time_decay", att + "time_first")
        expected |= token_shift(spec, att, "kvr") | token_shift(spec, ffn, "kr")
        expected |= squares(spec, att, "key", "value", "receptance", "output")
        expected |= squares(spec, ffn, "receptance") | channel_mix(spec, ffn)
    return expected


def token_shift(spec: ModelSpec, prefix: str, letters: str) -> Shapes:
    return vectors(spec, *(f"{prefix}time_mix_{letter}" for letter in letters))

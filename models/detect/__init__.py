"""What a checkpoint is, read from its tensors' names and shapes, never from its file name."""

from collections.abc import Mapping

from torch import Tensor

from models import initial
from models.base import ModelSpec
from models.detect import rwkv4, rwkv5, rwkv6, rwkv7
from models.detect.fingerprint import fingerprint
from models.detect.generation import generation
from models.detect.shapes import check, layers, matrix
from models.tensors import outlines

__all__ = ["EXPECTED", "check", "detect"]

EXPECTED = {"4": rwkv4, "5.0": rwkv5, "5.1": rwkv5, "5.2": rwkv5, "6": rwkv6, "7": rwkv7}
"""What each generation's tensors are: modules with `heads` and `shapes`."""


def detect(tensors: Mapping[str, Tensor]) -> ModelSpec:
    """Generation, sizes and fingerprint of a checkpoint of RWKV-4 to RWKV-7.

    Raises CheckpointError, in one sentence that says what was found, for anything else.
    """
    known = outlines(tensors)
    found = generation(known)
    count = layers(known)
    vocab_size, width = matrix(known, "emb.weight")
    heads, head_size = EXPECTED[found].heads(known, width)
    spec = ModelSpec(
        generation=found,
        layers=count,
        width=width,
        heads=heads,
        head_size=head_size,
        ffn_width=matrix(known, "blocks.0.ffn.key.weight")[0],
        vocab_size=vocab_size,
        parameters=sum(tensor.numel() for tensor in known.values()),
        fingerprint=fingerprint(tensors),
    )
    check(known, EXPECTED[found].shapes(known, spec) | initial.shapes(known, spec))
    return spec

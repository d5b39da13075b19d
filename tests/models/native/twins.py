"""Native models of random weights, and the slow twins that compute with the very same numbers."""

import ctypes
import re
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from models.base import Model, State
from models.detect import detect
from models.layers import Network
from models.native.isa import OF_BF16
from models.native.model import NativeModel
from models.native.packed import Blob
from models.rwkv4 import Rwkv4
from models.rwkv5 import Rwkv5
from models.rwkv6 import Rwkv6
from models.rwkv7 import Rwkv7
from tests.checkpoints import Sizes, random_rwkv
from tests.models.native.rounding import LEVELS, Rounding

NETWORKS: dict[str, type[Network]] = {
    "4": Rwkv4,
    "5.0": Rwkv5,
    "5.1": Rwkv5,
    "5.2": Rwkv5,
    "6": Rwkv6,
    "7": Rwkv7,
}
GENERATIONS = tuple(NETWORKS)
DTYPES = (torch.bfloat16, torch.int8, torch.qint8, torch.quint4x2)
LOW_RANK = re.compile(r"att\.([wavg][12]|time_(maa|decay)_w[12])$")
USUAL = Sizes()
TOKENS = torch.randint(0, 41, (400,), generator=torch.Generator().manual_seed(7))


@lru_cache(maxsize=4)
def tensors_of(generation: str, sizes: Sizes = USUAL, seed: int = 0) -> dict[str, Tensor]:
    """Values that bf16 holds, so that only the computation can differ; shared by who asks."""
    return {n: t.bfloat16().float() for n, t in random_rwkv(generation, sizes, seed).items()}


def native(
    generation: str, sizes: Sizes = USUAL, dtype: torch.dtype = torch.bfloat16, threads: int = 2
) -> NativeModel:
    tensors = tensors_of(generation, sizes)
    return NativeModel(detect(tensors), tensors.items(), dtype, threads)


def twin(
    generation: str,
    sizes: Sizes = USUAL,
    dtype: torch.dtype = torch.bfloat16,
    isa: str = "portable",
) -> Network:
    """With the weights that a native model of this format has, and its rounding of activations."""
    tensors = weights(generation, sizes, dtype)
    spec, network = detect(tensors), NETWORKS[generation]
    prepared = {name: network.prepared(name, tensors) for name in tensors}
    half = 0 if isa in OF_BF16 else None
    for name, tensor in prepared.items():
        if is_matrix(name, tensor):
            prepared[name] = Rounding.of(tensor, LEVELS.get(dtype, half))
        elif LOW_RANK.search(name):
            prepared[name] = Rounding.of(tensor, half)
    return network(spec, prepared)


@lru_cache(maxsize=4)
def weights(generation: str, sizes: Sizes, dtype: torch.dtype) -> dict[str, Tensor]:
    """What a native model of this format multiplies by, at every instruction set the same."""
    tensors = tensors_of(generation, sizes)
    if dtype == torch.bfloat16:
        return tensors
    model = native(generation, sizes, dtype)  # which owns the memory
    blobs = model.packed(tensors)
    return {n: unpacked(blobs[n], n, t, dtype) for n, t in tensors.items() if n in blobs}


def is_matrix(name: str, tensor: Tensor) -> bool:
    return tensor.dim() == 2 and name.endswith(".weight") and name != "emb.weight"


def unpacked(blob: Blob, name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The values of a matrix of an integer model, from memory as src/model.hpp lays it out."""
    if not is_matrix(name, tensor):
        return tensor
    raw = torch.frombuffer(bytearray(ctypes.string_at(blob.address, blob.size)), dtype=torch.uint8)
    are_nibbles = dtype == torch.quint4x2 and name != "head.weight"
    (rows, inputs), group = tensor.shape, 32 if are_nibbles else 64
    units, depth = -(-rows // 32), -(-inputs // 64) * 64
    stored = raw[: -(units * depth // group * 32 * 2)]
    scales = raw[len(stored) :].view(torch.bfloat16).float().view(units, -1, 32)
    if are_nibbles:
        both = torch.stack((stored & 15, stored >> 4)).view(2, units, -1, 32, 4)
        values = both.permute(1, 2, 0, 3, 4).flatten(1, 2).float() - 8
    else:
        values = stored.view(units, -1, 32, 4).float() - 128
    whole = values.transpose(1, 2).reshape(units, 32, -1, group) * scales.mT.unsqueeze(-1)
    return whole.reshape(units * 32, -1)[:rows, :inputs].contiguous()


def feed(model: Model, parts: Sequence[int], start: int = 0) -> tuple[Tensor, State]:
    """Logits after the last of the parts of TOKENS, which follow one another, and the state."""
    state = model.new_state(1)
    for count in parts:
        logits = model.forward(TOKENS[start : start + count], [count], state)
        start += count
    return logits, state


def amid_others(model: Model, before: int, after: int) -> list[Tensor]:
    """Logits and state of 23 tokens and one more, with other sequences around them."""
    tokens = TOKENS[:23]
    lengths = [1] * before + [len(tokens)] + [3] * (after // 3) + [1] * (after % 3)
    others = TOKENS[100 : 100 + sum(lengths) - len(tokens)]
    state = model.new_state(len(lengths))
    flat = torch.cat((others[:before], tokens, others[before:]))
    logits = model.forward(flat, lengths, state)
    step = model.forward(torch.full((len(lengths),), 5), [1] * len(lengths), state)
    return [logits[before], step[before], *state.copy_row(before).tensors]


def divergence(ours: Tensor, exact: Tensor) -> float:
    """The largest of the rows."""
    kl = torch.nn.functional.kl_div(ours.log_softmax(-1), exact.softmax(-1), reduction="none")
    return float(kl.sum(-1).max())


def deviation(ours: State, exact: State) -> float:
    """The largest of the parts, relative to each one's largest value."""
    pairs = zip(ours.tensors, exact.tensors, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)

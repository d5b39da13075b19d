"""Native models of random weights, and the slow twins that compute with the very same numbers."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from models.base import Model, State
from models.detect import detect
from models.layers import Network
from models.native.model import NativeModel
from models.native.packed import Blob
from models.rwkv4 import Rwkv4
from models.rwkv5 import Rwkv5
from models.rwkv6 import Rwkv6
from models.rwkv7 import Rwkv7
from tests.checkpoints import Sizes, random_rwkv

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
USUAL = Sizes()
TOKENS = torch.randint(0, 41, (400,), generator=torch.Generator().manual_seed(7))


def tensors_of(generation: str, sizes: Sizes = USUAL, seed: int = 0) -> dict[str, Tensor]:
    """Values that bf16 holds, so that only the computation can differ."""
    return {n: t.bfloat16().float() for n, t in random_rwkv(generation, sizes, seed).items()}


def native(
    generation: str, sizes: Sizes = USUAL, dtype: torch.dtype = torch.bfloat16, threads: int = 2
) -> NativeModel:
    tensors = tensors_of(generation, sizes)
    return NativeModel(detect(tensors), tensors.items(), dtype, threads)


def twin(generation: str, sizes: Sizes = USUAL, dtype: torch.dtype = torch.bfloat16) -> Network:
    """In float32, with the weights that a native model of this format has."""
    tensors = tensors_of(generation, sizes)
    spec, network = detect(tensors), NETWORKS[generation]
    if dtype in {torch.int8, torch.qint8}:
        tensors = {name: as_int8(name, tensor) for name, tensor in tensors.items()}
    if dtype == torch.quint4x2:
        model = native(generation, sizes, dtype)
        blobs = model.packed(tensors)
        tensors = {n: unpacked(blobs[n], n, t) for n, t in tensors.items() if n in blobs}
    return network(spec, {name: network.prepared(name, tensors) for name in tensors})


def as_int8(name: str, tensor: Tensor) -> Tensor:
    """A matrix of [outputs,inputs] rounded to 8 bits with a bf16 scale for 64 inputs of a row."""
    if tensor.dim() != 2 or not name.endswith(".weight") or name == "emb.weight":
        return tensor
    inputs = tensor.shape[1]
    groups = torch.nn.functional.pad(tensor, (0, -inputs % 64)).unflatten(1, (-1, 64))
    most = groups.abs().amax(-1, keepdim=True)
    scale = (most / 127 * 1.002).bfloat16().float()
    rounded = (groups / scale.clamp(min=1e-30)).round().clamp(-127, 127) * scale
    return rounded.flatten(1)[:, :inputs].contiguous()


def unpacked(blob: Blob, name: str, tensor: Tensor) -> Tensor:
    """The values of a matrix of an int4 model, from memory as src/model.hpp lays it out."""
    if tensor.dim() != 2 or not name.endswith(".weight") or name == "emb.weight":
        return tensor
    raw = torch.frombuffer(bytearray(ctypes.string_at(blob.address, blob.size)), dtype=torch.uint8)
    (rows, inputs), group = tensor.shape, 64 if name == "head.weight" else 32
    units, depth = -(-rows // 32), -(-inputs // 64) * 64
    stored = raw[: -(units * depth // group * 32 * 2)]
    scales = raw[len(stored) :].view(torch.bfloat16).float().view(units, -1, 32)
    if name == "head.weight":
        values = stored.view(units, -1, 32, 4).float() - 128
    else:
        both = torch.stack((stored & 15, stored >> 4)).view(2, units, -1, 32, 4)
        values = both.permute(1, 2, 0, 3, 4).flatten(1, 2).float() - 8
    whole = values.transpose(1, 2).reshape(units, 32, -1, group) * scales.mT.unsqueeze(-1)
    return whole.reshape(units * 32, -1)[:rows, :inputs].contiguous()


def feed(model: Model, parts: Sequence[int], start: int = 0) -> tuple[Tensor, State]:
    """Logits after the last of the parts of TOKENS, which follow one another, and the state."""
    state = model.new_state(1)
    for count in parts:
        logits = model.forward(TOKENS[start : start + count], [count], state)
        start += count
    return logits, state


def divergence(ours: Tensor, exact: Tensor) -> float:
    """The largest of the rows."""
    kl = torch.nn.functional.kl_div(ours.log_softmax(-1), exact.softmax(-1), reduction="none")
    return float(kl.sum(-1).max())


def deviation(ours: State, exact: State) -> float:
    """The largest of the parts, relative to each one's largest value."""
    pairs = zip(ours.tensors, exact.tensors, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)

"""What a checkpoint is, read from its tensors' names and shapes, never from its file name."""

import hashlib
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from models.base import CheckpointError, ModelSpec

_SAMPLES = 1024  # values of each tensor that enter the fingerprint
_FORMATS = {torch.float64, torch.float32, torch.bfloat16, torch.float16}
_OLDER = {
    "att.time_maa_": "an RWKV-6 checkpoint",
    "att.gate": "an RWKV-5.1 or 5.2 checkpoint",
    "att.ln_x": "an RWKV-5.0 checkpoint",
    "att.time_decay": "an RWKV-4 checkpoint",
}


def detect(tensors: Mapping[str, Tensor]) -> ModelSpec:
    """Sizes and fingerprint of an RWKV-7 checkpoint.

    Raises CheckpointError, in one sentence that says what was found, for anything else.
    """
    _refuse_others(tensors)
    layers = _layers(tensors)
    vocab_size, width = _matrix(tensors, "emb.weight")
    heads, head_size = _matrix(tensors, "blocks.0.att.r_k")
    ffn_width, _ = _matrix(tensors, "blocks.0.ffn.key.weight")
    if heads * head_size != width:
        raise CheckpointError(
            f"r_k has {heads} heads of {head_size}, which is not the embedding width {width}"
        )
    spec = ModelSpec(
        generation="7",
        layers=layers,
        width=width,
        heads=heads,
        head_size=head_size,
        ffn_width=ffn_width,
        vocab_size=vocab_size,
        parameters=sum(tensors[name].numel() for name in tensors),
        fingerprint=_fingerprint(tensors),
    )
    _check_shapes(tensors, spec)
    return spec


def _refuse_others(tensors: Mapping[str, Tensor]) -> None:
    names = tuple(tensors)
    if any(name in tensors for name in ("_strategy", "_version", "_rescale_layer")):
        raise CheckpointError(
            "this file was converted by the rwkv package; give the original checkpoint instead"
        )
    if any(".ffn.s_emb" in name for name in names):
        raise CheckpointError("this is an RWKV-7a (DeepEmbed) checkpoint, which is not supported")
    if any(".qkv." in name for name in names):
        raise CheckpointError("this is an RWKV-7b checkpoint, which is not supported")
    if any(".att.r_k" in name for name in names):
        return
    for part, kind in _OLDER.items():
        if any(part in name for name in names):
            raise CheckpointError(f"this is {kind}; only RWKV-7 can be served")
    shown = ", ".join(sorted(names)[:3])
    raise CheckpointError(f"this is not an RWKV checkpoint: its tensors begin with {shown}")


def _layers(tensors: Mapping[str, Tensor]) -> int:
    found = {int(m[1]) for name in tensors if (m := re.match(r"blocks\.(\d+)\.", name))}
    if found != set(range(len(found))):
        raise CheckpointError(f"blocks are missing: found numbers {sorted(found)}")
    return len(found)


def _matrix(tensors: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    if name not in tensors:
        raise CheckpointError(f"the tensor {name} is missing")
    shape = tuple(tensors[name].shape)
    if len(shape) != 2:
        raise CheckpointError(f"{name} has shape {list(shape)}, expected two dimensions")
    return shape[0], shape[1]


def _check_shapes(tensors: Mapping[str, Tensor], spec: ModelSpec) -> None:
    for name, shape in _expected_shapes(tensors, spec).items():
        if name not in tensors:
            raise CheckpointError(f"the tensor {name} is missing")
        tensor = tensors[name]
        if tensor.dtype not in _FORMATS:
            raise CheckpointError(f"{name} holds {tensor.dtype}, expected floating point numbers")
        # Vectors may be stored as [1,1,C]; a model takes matrices only as they are.
        flat = len(shape) == 1 and sorted(tensor.shape)[:-1] == [1] * (tensor.dim() - 1)
        if (tuple(tensor.flatten().shape) if flat else tuple(tensor.shape)) != shape:
            raise CheckpointError(f"{name} has shape {list(tensor.shape)}, expected {list(shape)}")


def _expected_shapes(tensors: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Every tensor that forward reads; low ranks are taken from the file, layer by layer."""
    width, vector = spec.width, (spec.width,)
    shapes: dict[str, tuple[int, ...]] = {
        "emb.weight": (spec.vocab_size, width),
        "head.weight": (spec.vocab_size, width),
    }
    norms = ["blocks.0.ln0", "ln_out"]
    for i in range(spec.layers):
        block = f"blocks.{i}."
        norms += [block + "ln1", block + "ln2", block + "att.ln_x"]
        shapes[block + "ffn.x_k"] = vector
        shapes[block + "ffn.key.weight"] = (spec.ffn_width, width)
        shapes[block + "ffn.value.weight"] = (width, spec.ffn_width)
        shapes[block + "att.r_k"] = (spec.heads, spec.head_size)
        letters = "wag" if i == 0 else "wagv"  # layer 0 has no use for v0, v1, v2
        for letter in letters:
            rank = _matrix(tensors, f"{block}att.{letter}1")[1]
            shapes[f"{block}att.{letter}1"] = (width, rank)
            shapes[f"{block}att.{letter}2"] = (rank, width)
        vectors = ["k_k", "k_a", *(f"x_{letter}" for letter in "rwkvag")]
        vectors += [f"{letter}0" for letter in letters if letter != "g"]
        shapes |= {f"{block}att.{name}": vector for name in vectors}
        for name in ("receptance", "key", "value", "output"):
            shapes[f"{block}att.{name}.weight"] = (width, width)
    return shapes | {f"{n}.{part}": vector for n in norms for part in ("weight", "bias")}


def _fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Names, shapes, formats and up to _SAMPLES values spread over each tensor.

    Sampling keeps the start of a 14 GB checkpoint from reading all of it twice; training
    moves every tensor everywhere, so two trained checkpoints differ in the samples.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.flatten()
        sample = flat[:: len(flat) // _SAMPLES | 1]  # odd, so that it meets every column
        sample = sample.contiguous()
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

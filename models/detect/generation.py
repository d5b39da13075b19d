"""Which generation a checkpoint is, by the tensors that only that one has."""

from collections.abc import Mapping

from torch import Tensor

from models.base import CheckpointError

_CONVERTED = ("_strategy", "_version", "_rescale_layer")
_REFUSED = {
    ".ffn.s_emb": "RWKV-7a (DeepEmbed)",
    ".qkv.": "RWKV-7b",
    ".tiny_": "RWKV-4a (tiny attention)",
}


def generation(tensors: Mapping[str, Tensor]) -> str:
    """4, 5.0, 5.1, 5.2, 6 or 7. Raises CheckpointError for what is none of them."""
    if any(name in tensors for name in _CONVERTED):
        raise CheckpointError(
            "this file was converted by the rwkv package; give the original checkpoint instead"
        )
    for part, kind in _REFUSED.items():
        if _has(tensors, part):
            raise CheckpointError(f"this is an {kind} checkpoint, which is not supported")
    if _has(tensors, ".att.r_k"):
        return "7"
    if _has(tensors, ".att.time_maa_"):
        return "6"
    if _has(tensors, ".att.time_decay"):
        return _four_or_five(tensors)
    shown = ", ".join(sorted(tensors)[:3])
    raise CheckpointError(f"this is not an RWKV checkpoint: its tensors begin with {shown}")


def _four_or_five(tensors: Mapping[str, Tensor]) -> str:
    if not _has(tensors, ".att.ln_x"):
        return "4"
    if not _has(tensors, ".att.gate"):
        return "5.0"
    decays = [tensors[name] for name in tensors if name.endswith(".att.time_decay")]
    return "5.2" if any(decay.dim() > 1 and decay.shape[1] > 1 for decay in decays) else "5.1"


def _has(tensors: Mapping[str, Tensor], part: str) -> bool:
    return any(part in name for name in tensors)

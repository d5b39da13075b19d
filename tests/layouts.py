"""Official tensors written the way other programs' files have them, and what comes of it."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors.torch import save_file
from torch import Tensor

from models import loader
from models.backends import Backend
from models.base import CheckpointError
from models.checkpoint import open_checkpoint
from tests.checkpoints import save

CPU = Backend(torch.device("cpu"), torch.bfloat16, "for tests")
TOKENS = torch.randint(1, 64, (40,), generator=torch.Generator().manual_seed(4))

Tensors = Mapping[str, Tensor]


def logits(path: Path) -> Tensor:
    model = loader.load(path, CPU, "float32")
    return model.forward(TOKENS, [len(TOKENS)], model.new_state(1))


def from_pth(tensors: Tensors, folder: Path) -> Tensor:
    return logits(save(dict(tensors), folder / "official.pth"))


def refusal(path: Path) -> str:
    """The one sentence with which a checkpoint is refused."""
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def layout(path: Path) -> str:
    return open_checkpoint(path).layout


def renamed(tensors: Tensors, rules: Mapping[str, str]) -> dict[str, Tensor]:
    """Every rule is a regular expression and its replacement, applied one after the other."""
    found = {}
    for official, tensor in tensors.items():
        name = official
        for pattern, replacement in rules.items():
            name = re.sub(pattern, replacement, name)
        found[name] = tensor.clone()
    return found


def write_shards(
    tensors: Tensors, folder: Path, parts: int, stem: str = "model", suffix: str = ".safetensors"
) -> Path:
    """As transformers names them: one file, or several and an index; returns the folder."""
    folder.mkdir(exist_ok=True)
    write = save_file if suffix == ".safetensors" else torch.save
    if parts == 1:
        write(dict(tensors), folder / f"{stem}{suffix}")
        return folder
    places = {}
    for part in range(parts):
        name = f"{stem}-{part + 1:05}-of-{parts:05}{suffix}"
        mine = {key: tensors[key] for key in list(tensors)[part::parts]}
        write(mine, folder / name)
        places |= dict.fromkeys(mine, name)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / f"{stem}{suffix}.index.json").write_text(json.dumps(index))
    return folder


TRANSFORMERS = {
    r"^emb\.": "rwkv.embeddings.",
    r"\.att\.": ".attention.",
    r"\.ffn\.": ".feed_forward.",
    r"\.ln0\.": ".pre_ln.",
    r"^(blocks|ln_out)\.": r"rwkv.\1.",
    r"time_mix_k$": "time_mix_key",
    r"time_mix_v$": "time_mix_value",
    r"time_mix_r$": "time_mix_receptance",
    r"time_mix_g$": "time_mix_gate",
}

FLA = {
    r"^emb\.": "model.embeddings.",
    r"^ln_out\.": "model.norm.",
    r"^head\.": "lm_head.",
    r"^blocks\.": "model.layers.",
    r"\.ln0\.": ".pre_norm.",
    r"\.ln1\.": ".attn_norm.",
    r"\.ln2\.": ".ffn_norm.",
    r"\.att\.ln_x\.": ".att.g_norm.",
    r"\.att\.output\.": ".att.o_proj.",
    r"\.att\.([rkv])(eceptance|ey|alue)\.": r".att.\1_proj.",
    r"\.att\.([wavg])0$": r".att.\1_lora.lora.2.bias",
    r"\.att\.([wavg])1$": r".att.\1_lora.lora.0.weight",
    r"\.att\.([wavg])2$": r".att.\1_lora.lora.2.weight",
    r"\.att\.": ".attn.",
}


def fla(tensors: Tensors, *, fused: bool = False) -> dict[str, Tensor]:
    """fused: token shift shares as the one tensor that older files have."""
    unused = {f"blocks.0.att.v{i}" for i in range(3)}
    found = renamed({name: t for name, t in tensors.items() if name not in unused}, FLA)
    for name, tensor in found.items():
        vector = tensor.flatten() if tensor.shape[:2] == (1, 1) and ".x_" not in name else tensor
        found[name] = vector.T.contiguous() if "lora.lora" in name and vector.dim() == 2 else vector
    for i in range(sum(name.endswith("attn.r_k") for name in found)) if fused else ():
        shares = [found.pop(f"model.layers.{i}.attn.x_{letter}") for letter in "rwkvag"]
        found[f"model.layers.{i}.attn.x_x"] = torch.cat(shares).flatten(1)
    return found


FLA_CONFIG = {"model_type": "rwkv7", "hidden_act": "sqrelu", "norm_eps": 1e-5, "head_dim": 64}

_WEB_TURNED = ("w1", "w2", "a1", "a2", "g1", "g2", "v1", "v2")


def web_rwkv(tensors: Tensors) -> dict[str, Tensor]:
    """In fp16."""
    found = {}
    for name, tensor in tensors.items():
        turn = any(part in name for part in _WEB_TURNED)
        stored = (tensor.transpose(-2, -1) if turn else tensor).half().contiguous()
        found[name.replace("time_faaaa", "time_first").replace("time_maa", "time_mix")] = stored
    return found


GGUF = {
    r"^emb\.": "token_embd.",
    r"^blocks\.0\.ln0\.": "token_embd_norm.",
    r"^ln_out\.": "output_norm.",
    r"^head\.": "output.",
    r"^blocks\.": "blk.",
    r"\.ln1\.": ".attn_norm.",
    r"\.ln2\.": ".attn_norm_2.",
    r"\.att\.ln_x\.": ".time_mix_ln.",
    r"\.att\.time_faaaa$": ".time_mix_first",
    r"\.att\.time_maa_(w[12])$": r".time_mix_\1",
    r"\.att\.time_maa_": ".time_mix_lerp_",
    r"\.att\.time_decay": ".time_mix_decay",
    r"\.att\.x_": ".time_mix_lerp_",
    r"\.att\.": ".time_mix_",
    r"\.ffn\.(time_maa|x)_": ".channel_mix_lerp_",
    r"\.ffn\.": ".channel_mix_",
}
_LERP = {"rwkv6": "wkvrg", "rwkv7": "rwkvag"}


def ggml(
    tensors: Tensors, architecture: str, *, rescale: int = 6, fused: bool = True
) -> dict[str, Tensor]:
    """Names, shapes and halvings of llama.cpp's converter."""
    found = {}
    for official, tensor in renamed(tensors, GGUF).items():
        stored = tensor.squeeze()
        name = official if official.endswith((".weight", ".bias")) else official + ".weight"
        if re.search(r"time_mix_(decay_)?[wavg][12]\.", name):
            stored = stored.transpose(-2, -1)
        if architecture == "rwkv7":
            stored = stored.flatten() if "r_k" in name else stored
        elif rescale and re.search(r"time_mix_output|channel_mix_value", name):
            stored = stored / 2 ** (int(name.split(".")[1]) // rescale)
        found[name] = stored.contiguous()
    if architecture == "rwkv7":  # layer 0 gets its a0, a1 and a2 for v0, v1 and v2 as well
        found |= {
            f"blk.0.time_mix_v{i}.weight": found[f"blk.0.time_mix_a{i}.weight"] for i in "012"
        }
    return _fuse(found, _LERP[architecture]) if fused else found


def _fuse(tensors: dict[str, Tensor], letters: str) -> dict[str, Tensor]:
    for i in {name.split(".")[1] for name in tensors if name.startswith("blk.")}:
        shares = [tensors.pop(f"blk.{i}.time_mix_lerp_{letter}.weight") for letter in letters]
        tensors[f"blk.{i}.time_mix_lerp_fused.weight"] = torch.stack(shares)[:, None, None]
    return tensors


def write_gguf(
    path: Path,
    architecture: str,
    tensors: Tensors,
    kind: Callable[[str, Tensor], Kind] = lambda name, tensor: Kind.F32,
    entries: Iterable[Callable[[Any], object]] = (),
) -> Path:
    """kind: in which type a tensor is stored; entries: more metadata, as calls of the writer."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_token_list([f"token {i}" for i in range(20)])
    writer.add_array("tokenizer.ggml.scores", [0.5, -1.0])
    for entry in entries:
        entry(writer)
    for name, tensor in tensors.items():
        chosen = kind(name, tensor)
        array: np.ndarray[Any, Any] = gguf.quants.quantize(tensor.numpy(), chosen)
        writer.add_tensor(name, array, raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rounded(tensor: Tensor, kind: Kind) -> Tensor:
    """What is left of the values when they are stored as `kind`."""
    return torch.from_numpy(
        gguf.quants.dequantize(gguf.quants.quantize(tensor.numpy(), kind), kind)
    )

"""Checkpoints of a training run, and the exported model.

A checkpoint is one safetensors file, `step-00001234.ckpt`: the optimizer's flat tensors, and as
metadata the progress and the schedule. The export is `model.safetensors`: bf16 under the
official RWKV-7 names.
"""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.gosling.network import Network, Sizes
from models.gosling.schedule import Schedule

KEPT = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: steps made, tokens seen by all processes, seconds spent."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    progress: Progress
    schedule: Schedule
    sizes: Sizes
    seed: int
    tensors: dict[str, Tensor]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes to a temporary name, renames, then deletes all but the newest two."""
    about = {
        "progress": dataclasses.asdict(checkpoint.progress),
        "schedule": dataclasses.asdict(checkpoint.schedule),
        "sizes": dataclasses.asdict(checkpoint.sizes),
        "seed": checkpoint.seed,
    }
    target = folder / f"step-{checkpoint.progress.step:08d}.ckpt"
    metadata = {name: json.dumps(value) for name, value in about.items()}
    _write(target, checkpoint.tensors, metadata)
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(folder.glob("step-*.ckpt"))


def load_checkpoint(path: Path) -> Checkpoint:
    with safe_open(path, framework="pt") as file:
        about = {name: json.loads(value) for name, value in file.metadata().items()}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return Checkpoint(
        Progress(**about["progress"]),
        Schedule(**about["schedule"]),
        Sizes(**about["sizes"]),
        about["seed"],
        tensors,
    )


def export(network: Network, progress: Progress, path: Path) -> None:
    """The network as bf16 safetensors under the official names."""
    tensors = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in network.state_dict().items()
    }
    metadata = {"format": "pt", "architecture": "rwkv7", "tokens_seen": str(progress.tokens)}
    _write(path, tensors, metadata)


def begin(network: Network, path: Path) -> None:
    """Gives the network the weights of an exported model of the same sizes."""
    network.load_state_dict(load_file(path))


def _write(target: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    temporary = target.with_suffix(".tmp")
    save_file(tensors, temporary, metadata=metadata)
    temporary.chmod(0o644)
    temporary.replace(target)

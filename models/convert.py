"""Any checkpoint that can be served to one safetensors file with official names.

Tensors are written one after the other, so that it takes no more memory than the largest of them.
Layout of the file (huggingface/safetensors, README): length of the header u64, the header as JSON
padded with spaces, the data in the order of the header.
"""

import json
import os
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from models.base import CheckpointError
from models.checkpoint import Checkpoint, open_checkpoint
from models.tensors import OFFICIAL, outlines

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
}
_ALIGNMENT = 8

Progress = Callable[[int, int], None]
"""Called with (bytes written, bytes in all)."""


def convert(
    source: Path,
    target: Path,
    dtype: str | None,
    *,
    tool: str,
    replace: bool,
    progress: Progress,
) -> None:
    """Write `source` to `target`, a .safetensors file that appears only when it is whole.

    dtype: float32, bf16 or fp16; None keeps the file's formats, with float32 for what is
    quantised. tool: who wrote it, for the file's metadata. Raises CheckpointError when the source
    is refused, when the target exists and may not be replaced, or cannot be written.
    """
    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target} should be called something.safetensors")
    if target.exists() and not replace:
        raise CheckpointError(f"{target} exists already; give another name, or --force")
    found = open_checkpoint(source)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as file:
            _write(found, file, dtype, tool, progress)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def _write(
    found: Checkpoint, file: BinaryIO, dtype: str | None, tool: str, progress: Progress
) -> None:
    planned = {
        name: (DTYPES[dtype] if dtype else outline.dtype, outline.shape)
        for name, outline in outlines(found.tensors).items()
    }
    metadata = {
        "format": "pt",
        OFFICIAL: found.spec.generation,
        "source_fingerprint": found.spec.fingerprint,
        "written_by": tool,
    }
    total = _write_header(file, planned, metadata)
    done = 0
    progress(done, total)
    for name, (wanted, _) in planned.items():
        done += file.write(_converted(name, found.tensors[name], wanted))
        progress(done, total)


def _write_header(
    file: BinaryIO,
    planned: Mapping[str, tuple[torch.dtype, torch.Size]],
    metadata: dict[str, str],
) -> int:
    """Returns the number of bytes that have to follow."""
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, (dtype, shape) in planned.items():
        start, end = end, end + shape.numel() * dtype.itemsize
        header[name] = {
            "dtype": _safetensors_name(name, dtype),
            "shape": list(shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    file.write(struct.pack("<Q", len(text)) + text)
    return end


def _safetensors_name(name: str, dtype: torch.dtype) -> str:
    if dtype not in _NAMES:
        raise CheckpointError(f"{name} holds {dtype}, expected floating point numbers")
    return _NAMES[dtype]


def _converted(name: str, tensor: Tensor, dtype: torch.dtype) -> bytes:
    converted = tensor.detach().to(dtype).contiguous()
    if dtype == torch.float16 and not converted.isfinite().all():
        raise CheckpointError(f"{name} has values that fp16 cannot hold; take bf16 or float32")
    return converted.flatten().view(torch.uint8).numpy().tobytes()

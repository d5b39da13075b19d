"""What is known of a checkpoint before it is loaded: sizes, formats, and memory it will need."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from models.base import ModelSpec
from models.checkpoint import open_checkpoint
from models.native.choice import supports

DTYPE_BYTES = {"float32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True, slots=True)
class Summary:
    """layout: whose names and shapes the file has; container: what kind of file it is.

    number_formats: parameters by the format they are stored in. weights_bytes and state_bytes, of
    one conversation, are by the number format the model is loaded in on a CPU.
    """

    path: Path
    layout: str
    container: str
    spec: ModelSpec
    number_formats: dict[str, int]
    weights_bytes: dict[str, int]
    state_bytes: dict[str, int]


def summarise(path: Path) -> Summary:
    """Reads names, shapes and a sample of the values. Raises CheckpointError when it is refused."""
    found = open_checkpoint(path)
    formats: dict[str, int] = {}
    for name in found.tensors:
        stored = found.tensors.number_format(name)
        formats[stored] = formats.get(stored, 0) + found.tensors.outline(name).numel()
    return Summary(
        path=found.path,
        layout=found.layout,
        container=found.tensors.container,
        spec=found.spec,
        number_formats=dict(sorted(formats.items(), key=lambda item: -item[1])),
        weights_bytes={name: found.spec.parameters * size for name, size in DTYPE_BYTES.items()},
        state_bytes={
            name: state_bytes(found.spec, _shift(found.spec, name)) for name in DTYPE_BYTES
        },
    )


def _shift(spec: ModelSpec, dtype: str) -> int:
    """Bytes of a token shift's value on a CPU, where the native library keeps float32."""
    return 4 if dtype == "bf16" and supports(spec) else DTYPE_BYTES[dtype]


def state_bytes(spec: ModelSpec, itemsize: int) -> int:
    """Of one sequence's State: two token shifts in the model's number format, wkv in float32."""
    wkv = (3, spec.width) if spec.generation == "4" else (spec.heads, spec.head_size**2)
    return spec.layers * (2 * spec.width * itemsize + prod(wkv) * 4)

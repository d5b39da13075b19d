"""The native library compiled for ARM, and models that it computes in an emulator."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.base import State
from models.detect import detect
from models.native import build
from models.native.choice import FORMATS
from tests.models.native.twins import NETWORKS

COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = "qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"
PLAIN, NEWEST = "cortex-a53", "max"  # processors without dot products, and with all there is
NATIVE = Path(build.__file__).parent
SOURCES = (
    Path(__file__).with_name("step.cpp"),
    NATIVE.parents[1] / "tests" / "models" / "native" / "exercise_sampling.cpp",
)


def compiled(folder: Path, compiler: str, machine: str = "") -> Path:
    """The library in `folder`, with the programs that use it."""
    shutil.copytree(NATIVE / "src", folder / "src")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", compiler)
        library = build.build(folder, machine=machine)
    for source in SOURCES:
        flags = ["-std=c++17", "-O1", "-pthread", str(library), "-Wl,-rpath,$ORIGIN"]
        made = folder / source.stem
        subprocess.run([compiler, str(source), *flags, "-o", str(made)], check=True)
    return folder


def emulate(program: Path, *arguments: object, processor: str = NEWEST) -> str:
    command = [*EMULATOR, "-cpu", processor, program, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


class Emulated:
    """Implements models.base.Model; each step is a process of its own."""

    spare_tokens = 0

    def __init__(
        self,
        programs: Path,
        folder: Path,
        tensors: Mapping[str, Tensor],
        dtype: torch.dtype,
        isa: str,
        threads: int,
    ) -> None:
        """folder: an empty one, for the files that go back and forth."""
        self.spec, self.dtype, self.isa = detect(tensors), dtype, isa
        self.device = torch.device("cpu")
        self._programs, self._threads = programs, threads
        self._folder = folder
        network = NETWORKS[self.spec.generation]
        self._twin = network(self.spec, {n: network.prepared(n, tensors) for n in tensors})
        spec = self.spec
        sizes = spec.layers, spec.width, spec.heads, spec.head_size, spec.ffn_width, spec.vocab_size
        front = [spec.generation, FORMATS[dtype], *sizes, len(tensors)]
        with (folder / "checkpoint").open("wb") as file:
            file.write(_line(*front))
            for name, tensor in tensors.items():
                matrix = tensor.reshape(-1, tensor.shape[-1])
                file.write(_line(name, *matrix.shape) + _bytes(matrix))

    def new_state(self, batch: int) -> State:
        return self._twin.new_state(batch)

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        given, answer = (self._folder / name for name in ("step", "answer"))
        rows = [tensor[0, 0].numel() for tensor in state.tensors]
        counts = torch.tensor(lengths), tokens.to(torch.int64)
        parts = b"".join(map(_bytes, (*counts, *state.tensors)))
        given.write_bytes(_line(int(every), len(lengths), len(tokens), *rows) + parts)
        checkpoint = given.with_name("checkpoint")
        emulate(self._programs / "step", checkpoint, self.isa, self._threads, given, answer)
        values = torch.frombuffer(bytearray(answer.read_bytes()), dtype=torch.float32)
        wanted = len(tokens) if every else len(lengths)
        sizes = [wanted * self.spec.vocab_size, *(tensor.numel() for tensor in state.tensors)]
        logits, *parts_after = values.split(sizes)
        for tensor, part in zip(state.tensors, parts_after, strict=True):
            tensor.copy_(part.view_as(tensor))
        return logits.view(wanted, -1)


def _line(*words: object) -> bytes:
    return " ".join(map(str, words)).encode() + b"\n"


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()

"""The RWKV-7 recurrence for training: a C++ kernel behind a torch operator, and its slow twin.

Shapes: r, w, k, v, a, b are [B,T,H,N] fp32; keep is [B,T], 0 where the state is emptied before
the token. S is [value,key] per head, w the decay itself (0..1):
S <- S diag(w) + (S a) b^T + v k^T, y = S r. Source: RWKV-7 "Goose", arXiv 2503.14456.

The kernel is compiled by g++ on first use into a cache folder, one file per head size. Tensors
that are not on the CPU take the twin.
"""

import ctypes
import functools
import hashlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("wkv7.cpp")
SPAN = 16
# -ffast-math would switch denormal numbers off for the whole process.
FLAGS = [
    *("-O3", "-march=native", "-mprefer-vector-width=512", "-std=c++17", "-shared", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math"),
    "-ffp-contract=fast",
]


class KernelError(RuntimeError):
    """The kernel could not be compiled."""


def wkv_twin(
    r: Tensor, w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, keep: Tensor
) -> Tensor:
    """The recurrence in plain torch, one token at a time, differentiable. Returns y [B,T,H,N]."""
    rows, length, heads, size = r.shape
    state = r.new_zeros(rows, heads, size, size)
    out = []
    for t in range(length):
        state = state * keep[:, t, None, None, None]
        sa = state @ a[:, t].unsqueeze(-1)
        outer = v[:, t].unsqueeze(-1) * k[:, t].unsqueeze(-2)
        state = state * w[:, t].unsqueeze(-2) + sa * b[:, t].unsqueeze(-2) + outer
        out.append((state @ r[:, t].unsqueeze(-1)).squeeze(-1))
    return torch.stack(out, dim=1)


def wkv(r: Tensor, w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, keep: Tensor) -> Tensor:
    """The recurrence, differentiable in everything but keep. Returns y [B,T,H,N].

    Raises KernelError on the CPU when g++ is missing or fails."""
    if r.device.type != "cpu":
        return wkv_twin(r, w, k, v, a, b, keep)
    y: Tensor = _forward(r, w, k, v, a, b, keep)[0]
    return y


@torch.library.custom_op("gosling::wkv7_forward", mutates_args=())
def _forward(
    r: Tensor, w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, keep: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = [x.contiguous() for x in (keep, r, w, k, v, a, b)]
    y, sa, spans = _outputs(r)
    rows, length, heads, size = r.shape
    _library(size).wkv7_forward(rows, length, heads, *_pointers([*inputs, y, sa, spans]))
    return y, sa, spans


@torch.library.custom_op("gosling::wkv7_backward", mutates_args=())
def _backward(
    saved: list[Tensor], dy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`saved`: the inputs of the forward pass, sa and spans."""
    r, w, k, v, a, b, keep, sa, spans = saved
    inputs = [x.contiguous() for x in (keep, r, w, k, v, a, b, sa, spans, dy)]
    dr, dw, dk, dv, da, db = _like(r)
    rows, length, heads, size = r.shape
    pointers = _pointers([*inputs, dr, dw, dk, dv, da, db])
    _library(size).wkv7_backward(rows, length, heads, *pointers)
    return dr, dw, dk, dv, da, db


@_forward.register_fake
def _forward_shapes(
    r: Tensor, w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, keep: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return _outputs(r)


@_backward.register_fake
def _backward_shapes(
    saved: list[Tensor], dy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _like(dy)


def _outputs(r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows, length, heads, size = r.shape
    spans = r.new_empty(rows, heads, -(-length // SPAN), size, size)
    return r.new_empty(r.shape), r.new_empty(r.shape), spans


def _like(r: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    dr, dw, dk, dv, da, db = (r.new_empty(r.shape) for _ in range(6))
    return dr, dw, dk, dv, da, db


def _keep_inputs(
    ctx: torch.autograd.function.FunctionCtx,
    inputs: tuple[Tensor, ...],
    output: tuple[Tensor, Tensor, Tensor],
) -> None:
    ctx.save_for_backward(*inputs, *output[1:])
    ctx.set_materialize_grads(False)


def _gradients(
    ctx: torch.autograd.function.FunctionCtx, dy: Tensor, _sa: Tensor, _spans: Tensor
) -> tuple[Tensor | None, ...]:
    saved: tuple[Tensor, ...] = ctx.saved_tensors  # type: ignore[attr-defined]
    return (*_backward(list(saved), dy), None)


torch.library.register_autograd("gosling::wkv7_forward", _gradients, setup_context=_keep_inputs)


def _pointers(tensors: list[Tensor]) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(x.data_ptr()) for x in tensors]


@functools.cache
def _library(head_size: int) -> ctypes.CDLL:
    source = SOURCE.read_bytes()
    machine = f"{platform.machine()} {_processor()}"
    key = hashlib.sha256(source + f"{FLAGS} {head_size} {machine}".encode()).hexdigest()[:16]
    target = _cache_folder() / f"wkv7-{key}.so"
    if not target.exists():
        _compile(head_size, target)
    return ctypes.CDLL(str(target))


def _compile(head_size: int, target: Path) -> None:
    """Compiles beside the target and renames, so that several processes may do so at once."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        command = ["g++", *FLAGS, f"-DHEAD={head_size}", str(SOURCE), "-o", str(made)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise KernelError("g++ was not found; install it to train on the CPU") from error
        if done.returncode != 0:
            raise KernelError(f"g++ could not compile {SOURCE}: {done.stderr.strip()[-500:]}")
        made.rename(target)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "gosling"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _processor() -> str:
    """The model of the processor: a file compiled for another one might not run here."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags")
    return "".join(next((x for x in lines if x.startswith(name)), "") for name in wanted)

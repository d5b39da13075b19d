"""Choice between CPU and CUDA."""

import logging
from dataclasses import dataclass

import torch

from models.backends import processors

log = logging.getLogger(__name__)

_ONE_THREAD = 10_000_000  # parameters; a tenth of the smallest official model


class BackendError(ValueError):
    """A device that was asked for and is not there; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A device, the number format it prefers for big models, and why it was chosen."""

    device: torch.device
    default_dtype: torch.dtype
    reason: str
    adapts: bool = False
    """No number of CPU threads was asked for, so that it may follow the model."""

    def fit(self, parameters: int) -> None:
        """Take one CPU thread for a model so small that several mostly wait for each other."""
        if self.adapts and parameters < _ONE_THREAD:
            torch.set_num_threads(1)
            log.info("1 thread, since the model has only %s parameters", f"{parameters:,}")


def select(device: str = "auto", threads: int = 0) -> Backend:
    """The backend for "auto", "cpu" or "cuda", named in one log line.

    threads: CPU threads for torch; 0 means one for each core this process may use, and one
    alone for a tiny model.
    Raises BackendError for an unknown device, and for "cuda" where there is none.
    """
    if device not in {"auto", "cpu", "cuda"}:
        raise BackendError(f"unknown device {device!r}: use auto, cpu or cuda")
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise BackendError(f"device cuda was asked for, but torch {torch.__version__} sees no GPU")
    backend = _cuda(device) if has_cuda and device != "cpu" else _cpu(device, threads)
    log.info("backend %s: %s", backend.device.type, backend.reason)
    return backend


def _cuda(asked: str) -> Backend:
    properties = torch.cuda.get_device_properties(0)
    memory = properties.total_memory / 2**30
    why = "asked for" if asked == "cuda" else "a CUDA GPU was found"
    # Pascal and Volta have no bfloat16 units.
    dtype = torch.bfloat16 if properties.major >= 8 else torch.float16
    return Backend(torch.device("cuda", 0), dtype, f"{why}: {properties.name}, {memory:.0f} GiB")


def _cpu(asked: str, threads: int) -> Backend:
    count = threads or processors.usable()
    torch.set_num_threads(count)
    why = "asked for" if asked == "cpu" else "no CUDA GPU was found"
    return Backend(
        torch.device("cpu"), torch.bfloat16, f"{why}: {count} threads", adapts=threads == 0
    )

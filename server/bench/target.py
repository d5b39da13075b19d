"""The checkpoint that is measured: found or made up, and loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from models import loader, random_weights
from models.backends import BackendError, select
from models.base import CheckpointError, Model
from models.checkpoint import open_checkpoint
from server.bench.drive import Say
from server.bench.report import BenchError
from server.hub import HubError, find


@dataclass(frozen=True, slots=True)
class Target:
    """The checkpoint that is measured, and how it is loaded: as the settings of those names."""

    id: str
    path: Path
    random_weights: bool
    tokenizer: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 0


@contextmanager
def checkpoint(model: str | None, shape: str | None, say: Say) -> Iterator[tuple[str, Path, bool]]:
    """(id, path, random weights) of what was named, made up first if a shape was. BenchError."""
    try:
        if shape is None:
            found = find(model or "gosling")
            yield found.id, loader.find_checkpoint(found.path), False
            return
        with TemporaryDirectory(prefix="rwkv-server-") as folder:
            say(f"making random weights of the {shape} size")
            path = Path(folder) / f"{shape}.safetensors"
            yield shape, random_weights.write(random_weights.SIZES[shape], path), True
    except (HubError, CheckpointError) as error:
        raise BenchError(str(error)) from error


def check(target: Target) -> None:
    """Raises BenchError for what is not there, before a server is started in another folder."""
    try:
        select(target.device, target.threads)
        open_checkpoint(target.path)
    except (BackendError, CheckpointError) as error:
        raise BenchError(str(error)) from error


def load(target: Target, dtype: str, say: Say) -> Model:
    """Raises BenchError."""
    say(f"loading {target.id} as {dtype}")
    try:
        return loader.load(target.path, select(target.device, target.threads), dtype)
    except (BackendError, CheckpointError) as error:
        raise BenchError(str(error)) from error

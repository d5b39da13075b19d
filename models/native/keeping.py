"""Whether, and where, the packed weights of a checkpoint are kept from one start to the next."""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from models.base import CheckpointError
from models.checkpoint import Checkpoint
from models.native.choice import FORMATS
from models.native.model import NativeModel
from models.native.packed import Key, PackedError, PackedFile
from models.native.packed_writer import write

log = logging.getLogger(__name__)

SMALLEST = 50_000_000  # parameters; fewer are packed in less than half a second


@dataclass(frozen=True, slots=True)
class Kept:
    """The file of a checkpoint's packed weights; it need not be there."""

    path: Path
    key: Key

    @classmethod
    def of(cls, found: Checkpoint, dtype: torch.dtype, setting: str) -> "Kept | None":
        """setting: see folder_of. None where nothing is to be kept."""
        folder = folder_of(setting, found.path)
        if folder is None or found.spec.parameters < SMALLEST:
            return None
        key = Key.of(found.path, found.spec.fingerprint, FORMATS[dtype])
        return cls(folder / _file_name(found.path, key), key)

    def model(
        self,
        restored: Callable[[PackedFile], NativeModel],
        packed_now: Callable[[], NativeModel],
        names: Iterable[str],
    ) -> NativeModel:
        """Of the file, which is made first where it is missing or cannot be trusted.

        restored, packed_now: make the model of the file, and of the checkpoint. names: of its
        tensors.
        """
        found = self._restore(restored)
        if found is not None:
            return found
        model = packed_now()
        if not self._keep(model, names):
            return model
        del model  # before the file is mapped, so that never both are in memory
        return self._restore(restored) or packed_now()

    def _restore(self, make: Callable[[PackedFile], NativeModel]) -> NativeModel | None:
        """What `make` makes of the file; None where it is missing or cannot be trusted."""
        try:
            file = PackedFile(self.path, self.key)
        except FileNotFoundError:
            return None
        except PackedError as error:
            log.warning("%s %s; it will be made again", self.path, error)
            return None
        try:
            return make(file)
        except (PackedError, CheckpointError, OSError) as error:
            log.warning("%s %s; it will be made again", self.path, error)
            return None
        finally:
            file.close()

    def _keep(self, model: NativeModel, names: Iterable[str]) -> bool:
        """Write the file, or say why not: the model runs without it."""
        try:
            write(self.path, self.key, model.packed(names))
        except OSError as error:
            log.warning("the packed weights cannot be kept in %s: %s", self.path.parent, error)
            return False
        log.info("packed weights kept in %s", self.path)
        return True


def folder_of(setting: str, checkpoint: Path) -> Path | None:
    """Where the packed weights of a checkpoint are kept; None for nowhere.

    setting: off, a folder, or auto: beside the checkpoint, in the cache folder where that cannot
    be written to.
    """
    if setting == "off":
        return None
    if setting != "auto":
        return Path(setting).expanduser()
    if os.access(checkpoint.parent, os.W_OK):
        return checkpoint.parent
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "rwkv-server"


def _file_name(checkpoint: Path, key: Key) -> str:
    return f"{checkpoint.stem}-{key.fingerprint[:16]}.{key.format}.packed"

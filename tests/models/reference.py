"""The reference author's `rwkv` package as an oracle for logits."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class Reference:
    """RWKV-7 in float32 by the `rwkv` package; `path` is a `.pth` file."""

    def __init__(self, path: Path) -> None:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the package uses torch.jit
            from rwkv.model import RWKV  # type: ignore[import-untyped]

            self._model: Any = RWKV(model=str(path.with_suffix("")), strategy="cpu fp32")

    def logits(self, tokens: list[int]) -> Tensor:
        """Logits after every token [T,V], fed one at a time."""
        rows, state = [], None
        for token in tokens:
            out, state = self._model.forward([token], state)
            rows.append(out.clone().float())
        return torch.stack(rows)

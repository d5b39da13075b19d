"""Matrices that round what they are multiplied by, as the native library does."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = {torch.int8: 127 * 256, torch.qint8: 127, torch.quint4x2: 127}


class Rounding(Tensor):
    """To `levels` integers on each side of zero, by groups of 64; 0 means bf16, None not at all.

    Only the rounding is the library's: the products are torch's, of float32.
    """

    levels: int | None

    @classmethod
    def of(cls, matrix: Tensor, levels: int | None) -> "Rounding":
        made = matrix.as_subclass(cls)
        made.levels = levels
        return made

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        multiplies = func is F.linear or func.__name__ in {"matmul", "__matmul__"}
        with torch._C.DisableTorchFunctionSubclass():
            if multiplies:
                x, matrix = args
                return func(rounded(x, matrix.levels), matrix)
            return func(*args, **(kwargs or {}))


def rounded(x: Tensor, levels: int | None) -> Tensor:
    if levels is None:
        return x
    if levels == 0:
        return x.bfloat16().float()
    inputs = x.shape[-1]
    padded = F.pad(x, (0, -inputs % 64))
    groups = padded.view(*padded.shape[:-1], -1, 64)
    most = groups.abs().amax(-1, keepdim=True)
    inverse = torch.where(most > 1e-30, levels / most, 0.0)
    values: Tensor = (groups * inverse).round() * (most * (1 / levels))
    return values.flatten(-2)[..., :inputs]

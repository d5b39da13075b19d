"""The mean of several weights."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from models.gosling.average import average


def test_every_tensor_is_the_mean_in_the_format_of_the_files(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.safetensors" for number in range(3)]
    tensors = [torch.randn(3, 4).bfloat16() for _ in files]
    for file, tensor in zip(files, tensors, strict=True):
        save_file({"a": tensor}, file, metadata={"from": file.stem})
    mean, metadata = average(files)
    assert torch.equal(mean["a"], torch.stack(tensors).float().mean(0).bfloat16())
    assert metadata == {"from": "2"}

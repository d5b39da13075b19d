"""The mean of several weights of one run: `python -m models.gosling.average OUT FILE FILE…`.

Weights that a falling learning rate left in different corners of the same valley are better in its
middle (Izmailov et al., arXiv 1803.05407).
"""

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def average(files: list[Path]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata): the mean in float32, rounded to the format of the last file.

    Metadata is that of the last file.
    """
    total: dict[str, Tensor] = {}
    for file in files:
        with safe_open(file, framework="pt") as opened:
            found = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            metadata = opened.metadata()
        total = {name: total.get(name, torch.zeros(())) + found[name].float() for name in found}
    return {name: (total[name] / len(files)).to(found[name].dtype) for name in found}, metadata


def main() -> None:
    parser = argparse.ArgumentParser(description="Average weights of one run.")
    parser.add_argument("out", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args()
    tensors, metadata = average(options.files)
    save_file(tensors, options.out, metadata=metadata)


if __name__ == "__main__":
    main()

"""Settings that must stand before the reference implementation is imported."""

import os

import pytest
import torch

os.environ["RWKV_V7_ON"] = "1"
os.environ["RWKV_JIT_ON"] = "0"
os.environ["RWKV_CUDA_ON"] = "0"

collect_ignore = ["gpu"]  # `make gpu-check` runs these, on machines that have one


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # tiny models gain nothing from more, and lose on busy machines

"""Settings for every test."""

import pytest
import torch

collect_ignore = ["gpu"]  # `make gpu-check` runs these, on machines that have one


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # tiny models gain nothing from more, and lose on busy machines

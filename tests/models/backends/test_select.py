"""Which device is chosen, with and without a GPU in the machine."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from models.backends import BackendError, select


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of a compute capability, 8 unless the test names another; None is no GPU."""
    major = getattr(request, "param", 8)
    properties = SimpleNamespace(total_memory=24 * 2**30, major=major, minor=0, name="Test GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: major is not None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_: properties)


no_gpu = pytest.mark.parametrize("gpu", [None], indirect=True)


@no_gpu
def test_auto_is_the_cpu_where_no_gpu_is(gpu: None) -> None:
    backend = select("auto", 1)
    assert backend.device.type == "cpu"
    assert "no CUDA GPU was found" in backend.reason


def test_auto_is_the_gpu_where_one_is(gpu: None) -> None:
    backend = select("auto")
    assert backend.device.type == "cuda"
    assert backend.reason == "a CUDA GPU was found: Test GPU, 24 GiB"


def test_the_cpu_is_taken_when_it_is_asked_for(gpu: None) -> None:
    backend = select("cpu", 1)
    assert backend.device.type == "cpu"
    assert "asked for" in backend.reason


@no_gpu
def test_cuda_is_refused_where_no_gpu_is(gpu: None) -> None:
    with pytest.raises(BackendError, match="sees no GPU"):
        select("cuda")


@pytest.mark.parametrize("device", ["", "CPU", "cuda:1", "mps", "gpu"])
def test_an_unknown_device_is_refused_with_the_known_ones(device: str) -> None:
    with pytest.raises(BackendError, match="use auto, cpu or cuda"):
        select(device)


@pytest.mark.parametrize(
    ("gpu", "dtype"),
    [(6, torch.float16), (7, torch.float16), (8, torch.bfloat16), (9, torch.bfloat16)],
    indirect=["gpu"],
)
def test_old_gpus_get_fp16_and_newer_ones_bf16(gpu: None, dtype: torch.dtype) -> None:
    assert select("cuda").default_dtype == dtype


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_computes_with_as_many_threads_as_asked_for(threads: int) -> None:
    assert f"{threads} threads" in select("cpu", threads).reason
    assert torch.get_num_threads() == threads


def test_without_a_number_the_cpu_uses_every_core_of_the_process() -> None:
    select("cpu")
    assert torch.get_num_threads() >= 1


def test_the_choice_is_named_in_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    select("cpu", 1)
    assert [r.getMessage() for r in caplog.records] == ["backend cpu: asked for: 1 threads"]


@pytest.mark.parametrize(
    ("asked", "parameters", "expected"), [(0, 10**6, 1), (0, 10**9, 2), (2, 10**6, 2)]
)
def test_only_a_tiny_model_takes_one_thread_and_only_unasked(
    asked: int, parameters: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    before = torch.get_num_threads()
    try:
        select("cpu", asked).fit(parameters)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)

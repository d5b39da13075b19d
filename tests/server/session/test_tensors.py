"""Tensors as bytes that are not copied."""

import torch
from safetensors.torch import load, save

from server.session.tensors import bodies, head


def test_a_file_of_parts_is_that_of_the_library() -> None:
    tensors = {
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "half": torch.ones(3, dtype=torch.bfloat16),
        "none": torch.zeros(0),
    }
    found = load(b"".join([head(tensors, {}), *bodies(tensors)]))
    expected = load(save({name: one.contiguous() for name, one in tensors.items()}))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_bytes_lie_where_their_tensor_does() -> None:
    tensor = torch.zeros(4)
    (body,) = bodies({"one": tensor})
    tensor += 1
    assert bytes(body) == torch.ones(4).numpy().tobytes()


def test_bytes_outlive_their_tensor() -> None:
    (body,) = bodies({"one": torch.full((2**20,), 7.0)})
    others = [torch.zeros(2**20) for _ in range(8)]
    assert set(bytes(body)) == set(torch.full((1,), 7.0).numpy().tobytes())
    assert len(others) == 8

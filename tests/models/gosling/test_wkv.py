"""The C++ kernel of the recurrence against its slow twin."""

import pytest
import torch
from torch import Tensor

from models.gosling.wkv import wkv, wkv_twin

ROWS, LENGTH, HEADS = 2, 53, 2  # not a multiple of the 16 tokens between kept states
STARTS = ((0, 0), (0, 7), (0, 8), (0, 32), (1, 0), (1, 47))


def inputs(size: int) -> list[Tensor]:
    """r, w, k, v, a, b as the network makes them: decays below one, a and b along one direction."""
    generator = torch.Generator().manual_seed(size)

    def draw() -> Tensor:
        return torch.randn(ROWS, LENGTH, HEADS, size, generator=generator)

    along = torch.nn.functional.normalize(draw(), dim=-1)
    w = torch.exp(-0.606531 * torch.sigmoid(draw()))
    made = [draw(), w, draw(), draw(), -along, along * torch.sigmoid(draw())]
    return [x.requires_grad_() for x in made]


def keep(starts: tuple[tuple[int, int], ...] = STARTS) -> Tensor:
    mask = torch.ones(ROWS, LENGTH)
    for row, token in starts:
        mask[row, token] = 0
    return mask


@pytest.mark.parametrize("size", [32, 64])
def test_the_kernel_computes_what_its_twin_computes(size: int) -> None:
    given = inputs(size)
    torch.testing.assert_close(wkv(*given, keep()), wkv_twin(*given, keep()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [32, 64])
def test_the_kernel_has_the_gradients_of_its_twin(size: int) -> None:
    given = inputs(size)
    weight = torch.randn(ROWS, LENGTH, HEADS, size)
    ours = torch.autograd.grad((wkv(*given, keep()) * weight).sum(), given)
    twin = torch.autograd.grad((wkv_twin(*given, keep()) * weight).sum(), given)
    for one, other in zip(ours, twin, strict=True):
        assert (one - other).abs().max() < 1e-5 * other.abs().max()


def test_a_packed_document_computes_what_it_computes_alone() -> None:
    given = inputs(64)
    packed = wkv(*given, keep())
    alone = wkv(*(x[:, 8:32] for x in given), keep()[:, 8:32])
    assert torch.equal(packed[0, 8:32], alone[0])


def test_no_gradient_crosses_the_start_of_a_document() -> None:
    given = inputs(64)
    wkv(*given, keep())[0, 8:].sum().backward()
    assert all(x.grad is not None and not x.grad[0, :8].any() for x in given)

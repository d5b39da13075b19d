"""The chunked scan of RWKV-4 against its slow twin and the sums of the paper in float64."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models import wkv4
from models.ragged import RaggedBatch

WIDTH = 16
KINDS = ("mixed", "vanishing", "none", "loud keys", "quiet keys", "rising keys")


def random_inputs(tokens: int, seed: int, kind: str = "mixed") -> wkv4.WkvInputs:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    k, v, u = normal(tokens, WIDTH), normal(tokens, WIDTH), normal(WIDTH)
    w = {
        "vanishing": -100 - 300 * normal(WIDTH).abs(),
        "none": -1e-7 * normal(WIDTH).abs(),
    }.get(kind, -(2 * normal(WIDTH) - 1).exp())
    k = {
        "loud keys": 60 * k,
        "quiet keys": 3 * k - 500,
        "rising keys": k + 40 * torch.arange(tokens).unsqueeze(1),
    }.get(kind, k)
    return wkv4.WkvInputs(k, v, w, u)


def empty_state(batch: int) -> Tensor:
    state = torch.zeros(batch, 3, WIDTH)
    state[:, 2] = wkv4.EMPTY
    return state


def random_state(batch: int, seed: int = 99) -> Tensor:
    """The state after some tokens."""
    state = empty_state(batch)
    for row in range(batch):
        wkv4.scan_by_token(random_inputs(9, seed + row), state[row : row + 1])
    return state


def in_float64(inputs: wkv4.WkvInputs) -> Tensor:
    """y by the sums of the paper, each written out, relative to the largest exponent."""
    k, v, w, u = (t.double() for t in (inputs.k, inputs.v, inputs.w, inputs.u))
    rows = []
    for t in range(len(k)):
        ages = torch.arange(t - 1, -1, -1).unsqueeze(1)
        weights = torch.cat((k[:t] + ages * w, (u + k[t]).unsqueeze(0))).softmax(0)
        rows.append((weights * v[: t + 1]).sum(0))
    return torch.stack(rows)


def scan(
    inputs: wkv4.WkvInputs, lengths: Sequence[int], state: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """y of the sequences after the leading ones with one token, and the state after."""
    batch = RaggedBatch.of(lengths, chunk_size=chunk, device=torch.device("cpu"))
    assert batch.chunks is not None
    after = state.clone()
    return wkv4.scan(inputs, after, batch.chunks), after


def error(ours: Tensor, exact: Tensor) -> float:
    """Largest deviation; y is a mean of values around 1."""
    return float((ours.double() - exact).abs().max())


def tolerance(kind: str) -> float:
    """float32 resolves an exponent of 500 to 3e-5, and every step rounds it again."""
    return 5e-4 if kind in {"loud keys", "quiet keys", "rising keys"} else 2e-5


def same_sums(state: Tensor, other: Tensor, tolerance: float = 2e-5) -> bool:
    """aa and bb may be scaled by different pp; the larger one decides what counts."""
    top = torch.maximum(state[:, 2], other[:, 2]).unsqueeze(1)
    one, two = (s[:, :2].double() * (s[:, 2:] - top).double().exp() for s in (state, other))
    return bool(((one - two).abs() < tolerance * (1 + two.abs())).all())


@pytest.mark.parametrize("kind", KINDS)
def test_stepping_computes_the_sums_of_the_paper(kind: str) -> None:
    inputs = random_inputs(70, 1, kind)
    assert error(wkv4.scan_by_token(inputs, empty_state(1)), in_float64(inputs)) < tolerance(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [2, 16, 32, 64])
def test_the_scan_computes_the_sums_of_the_paper(chunk: int, kind: str) -> None:
    for length in (2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 70):
        inputs = random_inputs(length, length, kind)
        y, after = scan(inputs, [length], empty_state(1), chunk)
        assert error(y, in_float64(inputs)) < tolerance(kind), length
        stepped = empty_state(1)
        wkv4.scan_by_token(inputs, stepped)
        assert same_sums(after, stepped, tolerance(kind)), length


def test_the_first_value_is_returned_as_it_is() -> None:
    inputs = random_inputs(1, 2)
    assert torch.allclose(wkv4.step(inputs, empty_state(1)), inputs.v)


@pytest.mark.parametrize("chunk", [4, 16, 64])
@pytest.mark.parametrize(
    "lengths", [[2, 2], [70, 2, 33], [1, 5, 1, 16, 17], [1, 1, 64, 1, 65, 3], [16, 16, 16]]
)
def test_sequences_side_by_side_compute_what_each_computes_alone(
    lengths: list[int], chunk: int
) -> None:
    whole = random_inputs(sum(lengths), 10)
    bounds = torch.tensor([0, *lengths]).cumsum(0).tolist()
    parts = [whole.part(a, b) for a, b in itertools.pairwise(bounds)]
    state = random_state(len(lengths))
    y, after = scan(whole, lengths, state, chunk)
    decode = next(i for i, length in enumerate(lengths) if length > 1)
    alone = [wkv4.scan_by_token(p, state[i : i + 1]) for i, p in enumerate(parts)]
    assert error(y, torch.cat(alone[decode:]).double()) < 1e-5
    assert same_sums(after[decode:], state[decode:])


def test_the_scan_leaves_rows_outside_its_plan_alone() -> None:
    state = random_state(6)
    _, after = scan(random_inputs(29, 5), [1, 1, 20, 7], state, 16)
    assert torch.equal(after[[0, 1, 4, 5]], state[[0, 1, 4, 5]])


def test_other_neighbours_of_the_same_lengths_change_no_bit() -> None:
    mine, results = random_inputs(40, 5), []
    for seed in (20, 30):
        parts = [random_inputs(21, seed), mine, random_inputs(16, seed + 1)]
        k, v = (torch.cat([getattr(p, name) for p in parts]) for name in ("k", "v"))
        state = torch.cat((random_state(1, seed), random_state(1, 7), random_state(1, seed + 1)))
        y, after = scan(wkv4.WkvInputs(k, v, mine.w, mine.u), [21, 40, 16], state, 16)
        results.append((y[21:61], after[1]))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_a_prompt_cut_anywhere_ends_in_the_same_state() -> None:
    inputs = random_inputs(48, 6)
    _, whole = scan(inputs, [48], empty_state(1), 16)
    for cut in (2, 15, 16, 17, 31, 46):
        _, middle = scan(inputs.part(0, cut), [cut], empty_state(1), 16)
        _, after = scan(inputs.part(cut, 48), [48 - cut], middle, 16)
        assert same_sums(after, whole), cut

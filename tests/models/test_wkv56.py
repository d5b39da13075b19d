"""The chunked scan of RWKV-5 and 6 against its slow twin and the recurrence in float64."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models import wkv56
from models.ragged import RaggedBatch

HEADS, SIZE = 2, 8
DECAYS = ("mixed", "vanishing", "none", "extremes", "by channel")


def random_inputs(
    tokens: int, seed: int, decay: str = "mixed", scale: float = 1
) -> wkv56.WkvInputs:
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(tokens, HEADS, SIZE, generator=generator)

    log_w = {
        "mixed": -(2 * normal() - 1).exp(),
        "vanishing": -40 - 20 * normal().abs(),
        "none": -1e-7 * normal().abs(),
        "extremes": torch.where(normal() > 0, -1e-5, -(4 * normal()).exp() - 46),
        "by channel": (-(3 * normal()[:1]).exp()).expand(tokens, HEADS, SIZE),
    }
    r, k, v, u = normal(), normal() * scale, normal() * scale, normal()[0]
    return wkv56.WkvInputs(r, log_w[decay].exp(), k, v, u)


def random_state(batch: int, seed: int = 99) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, HEADS, SIZE, SIZE, generator=generator)


def join(parts: Sequence[wkv56.WkvInputs], u: Tensor) -> wkv56.WkvInputs:
    by_token = ([getattr(part, name) for part in parts] for name in ("r", "w", "k", "v"))
    return wkv56.WkvInputs(*(torch.cat(tensors) for tensors in by_token), u)


def in_float64(inputs: wkv56.WkvInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """y and the state after, by the formula of the paper, head by head; state [H,N,N]."""
    r, w, k, v = (t.double() for t in (inputs.r, inputs.w, inputs.k, inputs.v))
    state, outputs = state.double().clone(), []
    for t in range(len(r)):
        y = []
        for h in range(HEADS):
            new = torch.outer(k[t, h], v[t, h])
            y.append((state[h] + torch.diag(inputs.u[h].double()) @ new).mT @ r[t, h])
            state[h] = torch.diag(w[t, h]) @ state[h] + new
        outputs.append(torch.stack(y))
    return torch.stack(outputs), state


def scan(
    inputs: wkv56.WkvInputs, lengths: Sequence[int], state: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """y of the sequences after the leading ones with one token, and the state after."""
    batch = RaggedBatch.of(lengths, chunk_size=chunk, device=torch.device("cpu"))
    assert batch.chunks is not None
    after = state.clone()
    return wkv56.scan(inputs, after, batch.chunks), after


def error(ours: Tensor, exact: Tensor) -> float:
    """Largest deviation, relative to the largest value."""
    return float((ours.double() - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize("decay", DECAYS)
def test_stepping_computes_the_recurrence(decay: str) -> None:
    inputs, state = random_inputs(40, 1, decay), random_state(1)
    exact, exact_state = in_float64(inputs, state[0])
    y = wkv56.scan_by_token(inputs, state)
    assert error(y, exact) < 1e-5
    assert error(state[0], exact_state) < 1e-5


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("chunk", [2, 16, 32, 64])
def test_the_scan_computes_the_recurrence_whatever_the_decays(chunk: int, decay: str) -> None:
    for length in (2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 70):
        inputs, state = random_inputs(length, length, decay), random_state(1)
        exact, exact_state = in_float64(inputs, state[0])
        y, after = scan(inputs, [length], state, chunk)
        assert error(y, exact) < 1e-5, length
        assert error(after[0], exact_state) < 1e-5, length


def test_every_channel_of_the_scan_is_precise_next_to_much_larger_ones() -> None:
    sizes = torch.logspace(-6, 6, SIZE)
    inputs, state = random_inputs(64, 4, "extremes"), random_state(1) * sizes
    inputs = wkv56.WkvInputs(inputs.r, inputs.w, inputs.k, inputs.v * sizes, inputs.u)
    exact, exact_state = in_float64(inputs, state[0])
    y, after = scan(inputs, [64], state, 32)
    for channel in range(SIZE):
        assert error(y[..., channel], exact[..., channel]) < 1e-5, channel
        assert error(after[0, ..., channel], exact_state[..., channel]) < 1e-5, channel


def test_a_decay_of_exactly_nothing_forgets_everything() -> None:
    inputs, state = random_inputs(40, 2), random_state(1)
    inputs.w[20] = 0
    others = state + 100
    _, after = scan(inputs, [40], state, 32)
    _, other_after = scan(inputs, [40], others, 32)
    assert torch.equal(after, other_after)
    assert bool(after.isfinite().all())


@pytest.mark.parametrize("scale", [1e-4, 30.0])
def test_small_and_large_keys_and_values_lose_no_precision(scale: float) -> None:
    inputs, state = random_inputs(50, 3, scale=scale), random_state(1) * scale**2
    exact, exact_state = in_float64(inputs, state[0])
    y, after = scan(inputs, [50], state, 16)
    assert error(y, exact) < 1e-5
    assert error(after[0], exact_state) < 1e-5


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
    alone = [wkv56.scan_by_token(p, state[i : i + 1]) for i, p in enumerate(parts)]
    assert error(y, torch.cat(alone[decode:]).double()) < 1e-5
    assert error(after[decode:], state[decode:].double()) < 1e-5


def test_the_scan_leaves_rows_outside_its_plan_alone() -> None:
    state = random_state(6)
    _, after = scan(random_inputs(29, 5), [1, 1, 20, 7], state, 16)
    assert torch.equal(after[[0, 1, 4, 5]], state[[0, 1, 4, 5]])


def test_the_scan_leaves_its_inputs_alone() -> None:
    inputs, twin = random_inputs(40, 6), random_inputs(40, 6)
    scan(inputs, [40], random_state(1), 16)
    for name in ("r", "w", "k", "v", "u"):
        assert torch.equal(getattr(inputs, name), getattr(twin, name))


def test_other_neighbours_of_the_same_lengths_change_no_bit() -> None:
    mine = random_inputs(40, 5)
    results = []
    for seed in (20, 30):
        inputs = join([random_inputs(21, seed), mine, random_inputs(16, seed + 1)], mine.u)
        state = torch.cat((random_state(1, seed), random_state(1, 7), random_state(1, seed + 1)))
        y, after = scan(inputs, [21, 40, 16], state, 16)
        results.append((y[21:61], after[1]))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_a_prompt_cut_anywhere_ends_in_the_same_state() -> None:
    inputs, start = random_inputs(48, 6), random_state(1)
    _, whole = scan(inputs, [48], start, 16)
    for cut in (2, 15, 16, 17, 31, 46):
        _, middle = scan(inputs.part(0, cut), [cut], start, 16)
        _, after = scan(inputs.part(cut, 48), [48 - cut], middle, 16)
        assert error(after, whole.double()) < 1e-5, cut

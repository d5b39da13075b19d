"""The chunked scan against its slow twin, and both against the recurrence in float64."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models import wkv7
from models.ragged import RaggedBatch

HEADS, SIZE = 2, 8
SLOWEST, FASTEST = -1e-6, -0.606531


def random_inputs(tokens: int, seed: int, decay: str = "mixed", scale: float = 1) -> wkv7.WkvInputs:
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(tokens, HEADS, SIZE, generator=generator)

    kk = torch.nn.functional.normalize(normal(), dim=-1)
    rate = normal().sigmoid()
    spread = {
        "mixed": FASTEST * normal().sigmoid(),
        "fast": torch.full((tokens, HEADS, SIZE), FASTEST),
        "slow": torch.full((tokens, HEADS, SIZE), SLOWEST),
        "extremes": torch.where(normal() > 0, FASTEST, SLOWEST),
    }
    r, k, v = normal(), normal() * scale, normal() * scale
    return wkv7.WkvInputs(r, spread[decay], k, v, kk, kk * rate)


def random_state(batch: int, seed: int = 99) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, HEADS, SIZE, SIZE, generator=generator)


def part(inputs: wkv7.WkvInputs, start: int, stop: int) -> wkv7.WkvInputs:
    return wkv7.WkvInputs(*(tensor[start:stop] for tensor in inputs.tensors))


def join(parts: Sequence[wkv7.WkvInputs]) -> wkv7.WkvInputs:
    return wkv7.WkvInputs(*(torch.cat(ts) for ts in zip(*(p.tensors for p in parts), strict=True)))


def in_float64(inputs: wkv7.WkvInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """y and the state after, by the formula of the paper, head by head; state [H,N,N]."""
    r, log_w, k, v, kk, b = (tensor.double() for tensor in inputs.tensors)
    state, outputs = state.double().clone(), []
    for t in range(len(r)):
        for h in range(HEADS):
            s = state[h]
            removed = torch.outer(s @ kk[t, h], b[t, h])
            state[h] = s * log_w[t, h].exp() - removed + torch.outer(v[t, h], k[t, h])
        outputs.append(torch.stack([state[h] @ r[t, h] for h in range(HEADS)]))
    return torch.stack(outputs), state


def scan(
    inputs: wkv7.WkvInputs, lengths: Sequence[int], state: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """y of the sequences after the leading ones with one token, and the state after."""
    batch = RaggedBatch.of(lengths, chunk_size=chunk, device=torch.device("cpu"))
    assert batch.chunks is not None
    after = state.clone()
    return wkv7.scan(inputs, after, batch.chunks), after


def error(ours: Tensor, exact: Tensor) -> float:
    """Largest deviation, relative to the largest value."""
    return float((ours.double() - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize("decay", ["mixed", "fast", "slow", "extremes"])
def test_stepping_computes_the_recurrence(decay: str) -> None:
    inputs, state = random_inputs(40, 1, decay), random_state(1)
    exact, exact_state = in_float64(inputs, state[0])
    y = wkv7.scan_by_token(inputs, state)
    assert error(y, exact) < 1e-5
    assert error(state[0], exact_state) < 1e-5


@pytest.mark.parametrize("chunk", [4, 16, 64])
def test_the_scan_computes_the_recurrence_at_every_length(chunk: int) -> None:
    whole = random_inputs(70, 2)
    for length in range(2, 71):
        inputs, state = part(whole, 0, length), random_state(1)
        exact, exact_state = in_float64(inputs, state[0]) if length % 10 == 0 else (None, None)
        y, after = scan(inputs, [length], state, chunk)
        twin = wkv7.scan_by_token(inputs, state)
        assert error(y, twin.double()) < 2e-5, length
        assert error(after, state.double()) < 2e-5, length
        if exact is not None and exact_state is not None:
            assert error(y, exact) < 2e-5
            assert error(after[0], exact_state) < 2e-5


@pytest.mark.parametrize("decay", ["fast", "slow", "extremes"])
@pytest.mark.parametrize("chunk", [4, 16, 64])
def test_extreme_decays_lose_no_precision(chunk: int, decay: str) -> None:
    for length in (2, 15, 16, 17, 63, 64, 65, 70):
        inputs, state = random_inputs(length, length, decay), random_state(1)
        exact, exact_state = in_float64(inputs, state[0])
        y, after = scan(inputs, [length], state, chunk)
        assert error(y, exact) < 5e-5, length
        assert error(after[0], exact_state) < 5e-5, length


@pytest.mark.parametrize("scale", [1e-4, 30.0])
def test_small_and_large_keys_and_values_lose_no_precision(scale: float) -> None:
    inputs, state = random_inputs(50, 3, scale=scale), random_state(1) * scale**2
    exact, exact_state = in_float64(inputs, state[0])
    y, after = scan(inputs, [50], state, 16)
    assert error(y, exact) < 2e-5
    assert error(after[0], exact_state) < 2e-5


@pytest.mark.parametrize("chunk", [4, 16, 64])
@pytest.mark.parametrize(
    "lengths", [[2, 2], [70, 2, 33], [1, 5, 1, 16, 17], [1, 1, 64, 1, 65, 3], [16, 16, 16]]
)
def test_sequences_side_by_side_compute_what_each_computes_alone(
    lengths: list[int], chunk: int
) -> None:
    parts = [random_inputs(length, 10 + i) for i, length in enumerate(lengths)]
    state = random_state(len(lengths))
    y, after = scan(join(parts), lengths, state, chunk)
    decode = next(i for i, length in enumerate(lengths) if length > 1)
    alone = [wkv7.scan_by_token(p, state[i : i + 1]) for i, p in enumerate(parts)]
    assert error(y, torch.cat(alone[decode:]).double()) < 2e-5
    assert error(after[decode:], state[decode:].double()) < 2e-5


def test_the_scan_leaves_rows_outside_its_plan_alone() -> None:
    lengths, state = [1, 1, 20, 7], random_state(6)
    parts = [random_inputs(length, i) for i, length in enumerate(lengths)]
    _, after = scan(join(parts), lengths, state, 16)
    assert torch.equal(after[[0, 1, 4, 5]], state[[0, 1, 4, 5]])


def test_other_neighbours_of_the_same_lengths_change_no_bit() -> None:
    lengths, mine = [21, 40, 16], random_inputs(40, 5)
    results = []
    for seed in (20, 30):
        parts = [random_inputs(21, seed), mine, random_inputs(16, seed + 1)]
        state = torch.cat((random_state(1, seed), random_state(1, 7), random_state(1, seed + 1)))
        y, after = scan(join(parts), lengths, state, 16)
        results.append((y[21:61], after[1]))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_the_order_of_neighbours_changes_nothing() -> None:
    lengths = [21, 40, 16]
    parts, state = [random_inputs(n, n) for n in lengths], random_state(3)
    y, after = scan(join(parts), lengths, state, 16)
    other, other_after = scan(join(parts[::-1]), lengths[::-1], state.flip(0), 16)
    assert error(torch.cat(other.split(lengths[::-1])[::-1]), y.double()) < 1e-5
    assert error(other_after.flip(0), after.double()) < 1e-5


def test_a_prompt_cut_anywhere_ends_in_the_same_state() -> None:
    inputs, start = random_inputs(48, 6), random_state(1)
    _, whole = scan(inputs, [48], start, 16)
    for cut in (2, 15, 16, 17, 31, 46):
        _, middle = scan(part(inputs, 0, cut), [cut], start, 16)
        _, after = scan(part(inputs, cut, 48), [48 - cut], middle, 16)
        assert error(after, whole.double()) < 1e-5, cut

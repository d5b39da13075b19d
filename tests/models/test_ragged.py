"""The map between flat tokens, sequences and chunks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.ragged import RaggedBatch

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def batch(lengths: list[int], size: int = 4) -> RaggedBatch:
    return RaggedBatch.of(lengths, chunk_size=size, device=torch.device("cpu"))


def numbered(count: int) -> Tensor:
    """[T,1]: token t is t + 1."""
    return torch.arange(1, count + 1).float().unsqueeze(1)


@pytest.mark.parametrize("lengths", [[], [0], [3, 0, 2], [-1]])
def test_a_sequence_without_tokens_is_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        batch(lengths)


@settings(max_examples=100, deadline=None)
@given(LENGTHS)
def test_starts_and_ends_enclose_every_sequence(lengths: list[int]) -> None:
    ragged = batch(lengths)
    found = [e - s + 1 for s, e in zip(ragged.starts.tolist(), ragged.ends.tolist(), strict=True)]
    assert found == lengths
    assert ragged.starts[0] == 0


@settings(max_examples=100, deadline=None)
@given(LENGTHS)
def test_the_decode_part_is_the_leading_run_of_single_tokens(lengths: list[int]) -> None:
    ragged = batch(lengths)
    assert lengths[: ragged.decode] == [1] * ragged.decode
    assert ragged.decode == len(lengths) or lengths[ragged.decode] > 1
    assert (ragged.chunks is None) == (ragged.decode == len(lengths))


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.sampled_from([1, 4, 16]))
def test_joining_what_was_split_gives_it_back_without_the_padding(
    lengths: list[int], size: int
) -> None:
    plan = batch(lengths, size).chunks
    if plan is None:
        return
    tokens = numbered(sum(lengths))
    chunks = plan.split(tokens, padding=-1)
    assert torch.equal(plan.join(chunks), tokens[plan.first_token :])
    assert int((chunks > 0).sum()) == len(tokens) - plan.first_token
    assert bool((chunks[chunks <= 0] == -1).all())


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.sampled_from([1, 4, 16]))
def test_gather_and_scatter_are_inverse(lengths: list[int], size: int) -> None:
    plan = batch(lengths, size).chunks
    if plan is None:
        return
    total = sum(lengths)
    assert plan.gather[plan.scatter].tolist() == list(range(plan.first_token, total))
    padding = plan.gather == total
    assert int((~padding).sum()) == total - plan.first_token


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.sampled_from([1, 4, 16]))
def test_every_chunk_is_the_next_run_of_one_sequence(lengths: list[int], size: int) -> None:
    ragged = batch(lengths, size)
    plan = ragged.chunks
    if plan is None:
        return
    chunks = iter(plan.gather.view(-1, size).tolist())
    for j, alive in enumerate(plan.active):
        for row in plan.rows[:alive].tolist():
            start = int(ragged.starts[row]) + j * size
            stop = min(start + size, int(ragged.ends[row]) + 1)
            expected = list(range(start, stop))
            assert next(chunks) == expected + [sum(lengths)] * (size - len(expected))
    assert next(chunks, None) is None


@settings(max_examples=100, deadline=None)
@given(LENGTHS)
def test_token_shift_gives_the_token_before_within_the_sequence(lengths: list[int]) -> None:
    x = numbered(sum(lengths))
    last = -numbered(len(lengths))
    expected = []
    for row, tokens in enumerate(x.split(lengths)):
        expected += [-(row + 1.0), *tokens.flatten().tolist()[:-1]]
    assert batch(lengths).shift(x, last).flatten().tolist() == expected


@settings(max_examples=100, deadline=None)
@given(LENGTHS)
def test_token_shift_remembers_the_last_token_of_every_sequence(lengths: list[int]) -> None:
    x, last = numbered(sum(lengths)), torch.zeros(len(lengths), 1)
    batch(lengths).shift(x, last)
    assert last.flatten().tolist() == torch.tensor(lengths).cumsum(0).float().tolist()


def test_token_shift_does_not_change_its_input() -> None:
    for lengths in ([1, 1], [3, 2]):
        x = numbered(sum(lengths))
        kept = x.clone()
        previous = batch(lengths).shift(x, torch.zeros(len(lengths), 1))
        previous += 1
        assert torch.equal(x, kept)

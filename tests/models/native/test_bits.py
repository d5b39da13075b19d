"""What changes no bit of a sequence's logits and state: neighbours, threads, where it is cut."""

from dataclasses import replace

import pytest
import torch

from models.native.isa import ISA_VARIABLE, instruction_sets
from tests.checkpoints import Sizes
from tests.models.native.twins import DTYPES, GENERATIONS, TOKENS, USUAL, amid_others, feed, native

ODD = Sizes(layers=2, width=144, head_size=48, ffn_width=100, vocab_size=41, ranks=(5, 7, 1, 9))
SHAPES = {"usual": USUAL, "odd": ODD}

both_formats = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_generation = pytest.mark.parametrize("generation", GENERATIONS)


@pytest.fixture(params=instruction_sets())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(ISA_VARIABLE, request.param)
    return str(request.param)


@both_formats
@pytest.mark.parametrize("shape", SHAPES)
@every_generation
def test_neighbours_and_threads_change_no_bit(
    generation: str, shape: str, dtype: torch.dtype, isa: str
) -> None:
    del isa
    expected = amid_others(native(generation, SHAPES[shape], dtype, threads=1), 0, 0)
    for threads, before, after in ((2, 3, 0), (3, 1, 7), (5, 2, 40)):
        model = native(generation, SHAPES[shape], dtype, threads)
        found = amid_others(model, before, after)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@every_generation
def test_threads_change_no_bit_of_a_deep_model(generation: str) -> None:
    """Every work of a step has counters of its own."""
    deep = replace(USUAL, layers=40)
    expected = amid_others(native(generation, deep, threads=1), 0, 0)
    for threads in (2, 3):
        found = amid_others(native(generation, deep, threads=threads), 1, 2)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@every_generation
def test_threads_that_come_late_or_never_change_no_bit(generation: str) -> None:
    """So many that most are not even awake when a step is over."""
    alone, crowd = (native(generation, threads=threads) for threads in (1, 32))
    for lengths in [[1], [2, 1]] * 10:
        (expected, before), (found, after) = feed(alone, lengths), feed(crowd, lengths)
        assert torch.equal(found, expected)
        assert all(torch.equal(a, b) for a, b in zip(after.tensors, before.tensors, strict=True))


@both_formats
@every_generation
def test_a_prompt_cut_anywhere_gives_the_same_bits(generation: str, dtype: torch.dtype) -> None:
    model = native(generation, dtype=dtype)
    whole, end = feed(model, [300])
    for parts in ([1, 299], [37, 263], [32] * 9 + [12], [256, 44]):
        cut, state = feed(model, parts)
        assert torch.equal(cut, whole)
        assert all(torch.equal(a, b) for a, b in zip(state.tensors, end.tensors, strict=True))


@both_formats
@every_generation
def test_every_gives_the_logits_that_each_token_would_have_given(
    generation: str, dtype: torch.dtype
) -> None:
    model = native(generation, dtype=dtype)
    lengths = [1, 290, 9]
    every = model.forward(TOKENS[:300], lengths, model.new_state(3), every=True)
    assert every.shape == (300, 320)
    last = model.forward(TOKENS[:300], lengths, model.new_state(3))
    assert torch.equal(every[[0, 290, 299]], last)
    assert torch.equal(every[100], feed(model, [100], start=1)[0][0])


@every_generation
def test_rows_beyond_the_step_are_left_alone(generation: str) -> None:
    model = native(generation)
    state = model.new_state(4)
    for tensor in state.tensors:
        tensor.fill_(0.25)
    model.forward(TOKENS[:7], [1, 6], state.rows(2))
    assert all((tensor[:, 2:] == 0.25).all() for tensor in state.tensors)
    assert all((tensor[:, :2] != 0.25).any() for tensor in state.tensors)

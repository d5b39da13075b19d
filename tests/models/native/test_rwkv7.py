"""The native library against its slow twin, at every instruction set that runs here."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from models.base import CheckpointError, Model, State
from models.detect import detect
from models.native.library import ISA_VARIABLE, instruction_sets
from models.native.rwkv7 import NativeRwkv7
from models.rwkv7 import Rwkv7
from tests.checkpoints import Sizes, random_rwkv7

USUAL = Sizes()
SHAPES = {
    "usual": USUAL,
    "small heads": Sizes(head_size=32),
    "smallest heads": Sizes(layers=2, width=48, head_size=16, ffn_width=100, vocab_size=41),
    "one wide head": Sizes(head_size=128),
    "odd ranks": Sizes(ranks=(24, 40, 8, 56)),
    "odd sizes, no v0 in layer 0": Sizes(
        width=192, ffn_width=600, vocab_size=333, ranks=(5, 33, 1, 70), first_layer_residual=False
    ),
    "odd number of small heads": Sizes(width=96, head_size=32, ffn_width=72),
    "deep": Sizes(layers=8),
    "small k and v": Sizes(kv_scale=0.15),
}
LIMITS = {torch.bfloat16: 0.002, torch.int8: 0.01}
TOKENS = torch.randint(0, 41, (400,), generator=torch.Generator().manual_seed(7))


@dataclass(frozen=True)
class Pair:
    native: NativeRwkv7
    twin: Rwkv7


def tensors_of(sizes: Sizes) -> dict[str, Tensor]:
    """Values that bf16 holds, so that only the computation can differ."""
    return {name: t.bfloat16().float() for name, t in random_rwkv7(sizes).items()}


def native(
    sizes: Sizes = USUAL, dtype: torch.dtype = torch.bfloat16, threads: int = 2
) -> NativeRwkv7:
    tensors = tensors_of(sizes)
    return NativeRwkv7(detect(tensors), tensors.items(), dtype, threads)


def twin(sizes: Sizes = USUAL) -> Rwkv7:
    tensors = tensors_of(sizes)
    prepared = {name: Rwkv7.prepared(name, tensors) for name in tensors}
    return Rwkv7(detect(tensors), prepared)


@pytest.fixture(params=instruction_sets())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(ISA_VARIABLE, request.param)
    return str(request.param)


both_formats = pytest.mark.parametrize("dtype", list(LIMITS), ids=["bf16", "int8"])


def divergence(ours: Tensor, exact: Tensor) -> float:
    """The largest of the rows."""
    kl = torch.nn.functional.kl_div(ours.log_softmax(-1), exact.softmax(-1), reduction="none")
    return float(kl.sum(-1).max())


def feed(model: Model, parts: Sequence[int], start: int = 0) -> tuple[Tensor, State]:
    """Logits after the last of the parts of TOKENS, which follow one another, and the state."""
    state = model.new_state(1)
    for count in parts:
        logits = model.forward(TOKENS[start : start + count], [count], state)
        start += count
    return logits, state


def close(ours: State, exact: State, limit: float) -> bool:
    """Each part's deviation, relative to its largest value."""
    pairs = zip(ours.tensors, exact.tensors, strict=True)
    return all((a - b).abs().max() <= limit * b.abs().max() for a, b in pairs)


@both_formats
@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_state_agree_with_the_twin_at_every_shape(
    shape: str, dtype: torch.dtype, isa: str
) -> None:
    model, exact = native(SHAPES[shape], dtype), twin(SHAPES[shape])
    assert model.isa == isa
    for parts in ([70], [1] * 20, [2, 31, 1, 33]):
        ours, state = feed(model, parts)
        expected, expected_state = feed(exact, parts)
        assert divergence(ours, expected) < LIMITS[dtype]
        assert close(state, expected_state, 0.1)


def test_without_avx512_bf16_weights_are_computed_with_exactly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ISA_VARIABLE, "portable")
    ours, state = feed(native(), [60])
    expected, expected_state = feed(twin(), [60])
    assert (ours - expected).abs().max() < 2e-4
    assert close(state, expected_state, 1e-4)


@both_formats
def test_ragged_steps_of_any_mix_agree_with_the_twin(dtype: torch.dtype, isa: str) -> None:
    del isa
    model, exact = native(dtype=dtype, threads=3), twin()
    draw = random.Random(5)
    ours, expected = model.new_state(6), exact.new_state(6)
    for _ in range(6):
        lengths = [draw.choice([1, 1, 1, 2, 5, 31, 40]) for _ in range(draw.randint(1, 6))]
        tokens = torch.tensor([draw.randrange(320) for _ in range(sum(lengths))])
        rows = len(lengths)
        logits = model.forward(tokens, lengths, ours.rows(rows))
        assert (
            divergence(logits, exact.forward(tokens, lengths, expected.rows(rows)))
            < (LIMITS[dtype])
        )
    assert close(ours, expected, 0.15)


@both_formats
def test_a_prompt_longer_than_a_pass_agrees_with_the_twin(dtype: torch.dtype) -> None:
    model, exact = native(dtype=dtype), twin()
    lengths = [1, 300, 99]
    logits = model.forward(TOKENS, lengths, model.new_state(3))
    assert divergence(logits, exact.forward(TOKENS, lengths, exact.new_state(3))) < LIMITS[dtype]


@both_formats
@pytest.mark.parametrize("shape", ["usual", "odd sizes, no v0 in layer 0"])
def test_neighbours_and_threads_change_no_bit(shape: str, dtype: torch.dtype, isa: str) -> None:
    del isa
    tokens, results = TOKENS[:23], []
    for threads, before, after in ((1, 0, 0), (2, 3, 0), (3, 1, 7), (5, 2, 40)):
        model = native(SHAPES[shape], dtype, threads)
        lengths = [1] * before + [len(tokens)] + [3] * (after // 3) + [1] * (after % 3)
        others = TOKENS[100 : 100 + sum(lengths) - len(tokens)]
        flat = torch.cat((others[:before], tokens, others[before:]))
        rows = len(lengths)
        state = model.new_state(rows)
        logits = model.forward(flat, lengths, state)
        step = model.forward(torch.full((rows,), 5), [1] * rows, state)
        own = state.copy_row(before)
        results.append([logits[before], step[before], *own.tensors])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@both_formats
def test_a_prompt_cut_anywhere_gives_the_same_bits(dtype: torch.dtype) -> None:
    model = native(dtype=dtype)
    whole, end = feed(model, [300])
    for parts in ([1, 299], [37, 263], [32] * 9 + [12], [256, 44]):
        cut, state = feed(model, parts)
        assert torch.equal(cut, whole)
        assert all(torch.equal(a, b) for a, b in zip(state.tensors, end.tensors, strict=True))


@both_formats
def test_every_gives_the_logits_that_each_token_would_have_given(dtype: torch.dtype) -> None:
    model = native(dtype=dtype)
    lengths = [1, 290, 9]
    every = model.forward(TOKENS[:300], lengths, model.new_state(3), every=True)
    assert every.shape == (300, 320)
    state = model.new_state(3)
    last = model.forward(TOKENS[:300], lengths, state)
    assert torch.equal(every[[0, 290, 299]], last)
    assert torch.equal(every[100], feed(model, [100], start=1)[0][0])


def test_rows_beyond_the_step_are_left_alone() -> None:
    model = native()
    state = model.new_state(4)
    for tensor in state.tensors:
        tensor.fill_(0.25)
    model.forward(TOKENS[:7], [1, 6], state.rows(2))
    assert all((tensor[:, 2:] == 0.25).all() for tensor in state.tensors)
    assert all((tensor[:, :2] != 0.25).any() for tensor in state.tensors)


def test_the_states_of_the_twin_and_the_native_model_are_interchangeable() -> None:
    model, exact = native(), twin()
    _, state = feed(exact, [50])
    ours = model.forward(TOKENS[50:60], [10], state)
    assert divergence(ours, feed(exact, [50, 10])[0]) < LIMITS[torch.bfloat16]


def test_the_dtype_is_the_number_format_of_the_weights() -> None:
    assert (native(dtype=torch.int8).dtype, native().dtype) == (torch.int8, torch.bfloat16)


def test_sequences_begin_with_the_state_that_was_given() -> None:
    tensors = tensors_of(USUAL)
    spec = detect(tensors)
    begin = torch.randn(spec.layers, spec.heads, spec.head_size, spec.head_size)
    model = NativeRwkv7(spec, tensors.items(), torch.bfloat16, 1, begin)
    state = twin().new_state(1)
    state.wkv.copy_(begin.unsqueeze(1))
    expected = twin().forward(TOKENS[:9], [9], state)
    assert divergence(feed(model, [9])[0], expected) < LIMITS[torch.bfloat16]


def test_packed_weights_are_counted() -> None:
    parameters = native().spec.parameters
    assert native().resident_bytes > 2 * parameters


@pytest.mark.parametrize(
    ("tokens", "lengths", "rows", "words"),
    [
        ([1, 2], [1, 2], 2, "add up to 3, but tokens are 2"),
        ([], [], 0, "at least one token"),
        ([1], [1, 0], 2, "at least one token"),
        ([1, 2], [2], 2, "does not fit"),
    ],
)
def test_a_step_that_does_not_fit_is_refused(
    tokens: list[int], lengths: list[int], rows: int, words: str
) -> None:
    model = native()
    with pytest.raises(ValueError, match=words):
        model.forward(torch.tensor(tokens), lengths, model.new_state(rows))


@pytest.mark.parametrize("token", [-1, 320])
def test_a_token_outside_the_vocabulary_is_refused(token: int) -> None:
    model = native()
    with pytest.raises(IndexError, match="outside the vocabulary of 320"):
        model.forward(torch.tensor([1, token]), [2], model.new_state(1))


def test_a_state_of_another_format_is_refused() -> None:
    model = native()
    state = model.new_state(1)
    state.att_shift = state.att_shift.bfloat16()
    with pytest.raises(ValueError, match=r"bfloat16 on cpu does not fit"):
        model.forward(TOKENS[:1], [1], state)


def test_a_missing_tensor_is_refused_by_its_name() -> None:
    tensors = tensors_of(Sizes())
    spec = detect(tensors)
    del tensors["blocks.2.att.a2"]
    with pytest.raises(CheckpointError, match=r"the tensor blocks\.2\.att\.a2 is missing"):
        NativeRwkv7(spec, tensors.items(), torch.bfloat16, 1)


def test_a_tensor_of_other_sizes_is_refused_by_its_name() -> None:
    tensors = tensors_of(Sizes())
    spec = detect(tensors)
    tensors["blocks.1.ffn.key.weight"] = torch.zeros(500, 128)
    with pytest.raises(CheckpointError, match=r"blocks\.1\.ffn\.key\.weight computes 500 values"):
        NativeRwkv7(spec, tensors.items(), torch.bfloat16, 1)


def test_models_come_and_go_with_their_threads() -> None:
    for _ in range(5):
        feed(native(SHAPES["smallest heads"], threads=4), [3])


def test_a_step_has_room_for_more_tokens_where_that_was_measured(isa: str) -> None:
    spare = native(dtype=torch.int8).spare_tokens, native().spare_tokens
    assert spare == ((3, 7) if isa == "avx512" else (0, 0))
    assert twin().spare_tokens == 0

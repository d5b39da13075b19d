"""What a native model is besides its logits: its state, memory, sharing, and what it refuses."""

import gc

import pytest
import torch
from torch import Tensor

from models.base import CheckpointError, State
from models.detect import detect
from models.native.isa import ISA_VARIABLE, instruction_sets
from models.native.model import NativeModel, resident_bytes
from tests.checkpoints import Sizes
from tests.models.native.twins import (
    DTYPES,
    GENERATIONS,
    TOKENS,
    USUAL,
    divergence,
    feed,
    native,
    tensors_of,
    twin,
)

TINY = Sizes(layers=2, width=48, head_size=16, ffn_width=100, vocab_size=41, ranks=(8, 8, 4, 8))
every_generation = pytest.mark.parametrize("generation", GENERATIONS)


def made(tensors: dict[str, Tensor], dtype: torch.dtype = torch.bfloat16) -> NativeModel:
    return NativeModel(detect(tensors), tensors.items(), dtype, 2)


def deriving(
    base: NativeModel, tensors: dict[str, Tensor], *own: str, dtype: torch.dtype | None = None
) -> NativeModel:
    """own: the names of the tensors that are not shared."""
    given = {name: tensors[name] for name in own}
    shared = [name for name in tensors if name not in own]
    return NativeModel(
        detect(tensors), given.items(), dtype or base.dtype, 2, base=base, shared=shared
    )


@every_generation
def test_a_new_state_is_that_of_the_twin(generation: str) -> None:
    ours, expected = native(generation).new_state(3), twin(generation).new_state(3)
    assert all(torch.equal(a, b) for a, b in zip(ours.tensors, expected.tensors, strict=True))


def test_the_dtype_is_the_number_format_of_the_weights() -> None:
    assert (native("7", dtype=torch.int8).dtype, native("7").dtype) == (torch.int8, torch.bfloat16)


SPARE = {  # in the order of DTYPES
    "amx": (15, 7, 15, 7),
    "avx512": (7, 3, 3, 3),
    "avx2": (2, 2, 2, 2),
}


@pytest.mark.parametrize("isa", instruction_sets())
def test_a_step_has_room_for_more_tokens_where_that_brings_something(
    isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ISA_VARIABLE, isa)
    spare = tuple(native("7", dtype=dtype).spare_tokens for dtype in DTYPES)
    assert spare == SPARE.get(isa, (0, 0, 0, 0))
    assert twin("7").spare_tokens == 0


@pytest.mark.parametrize("generation", ["5.2", "6", "7"])
def test_sequences_begin_with_the_state_that_was_given(generation: str) -> None:
    tensors = tensors_of(generation)
    spec, exact = detect(tensors), twin(generation)
    begin = torch.randn(spec.layers, spec.heads, spec.head_size, spec.head_size)
    model = NativeModel(spec, tensors.items(), torch.bfloat16, 1, begin)
    state = exact.new_state(1)
    state.wkv.copy_(begin.unsqueeze(1))
    assert divergence(feed(model, [9])[0], exact.forward(TOKENS[:9], [9], state)) < 0.002


@every_generation
def test_packed_weights_are_counted(generation: str) -> None:
    model = native(generation)
    assert resident_bytes([model]) > 2 * model.spec.parameters
    assert resident_bytes([]) == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@every_generation
def test_a_model_that_shares_computes_what_one_alone_computes(
    generation: str, dtype: torch.dtype
) -> None:
    tensors, others = tensors_of(generation, TINY), tensors_of(generation, TINY, seed=1)
    own = "blocks.1.att.key.weight", "ln_out.bias", "blocks.0.ffn.value.weight"
    mixed = tensors | {name: others[name] for name in own}
    base = made(tensors, dtype)
    before = feed(base, [30])[0]
    model = deriving(base, mixed, *own)
    expected = feed(made(mixed, dtype), [30])[0]
    assert torch.equal(feed(model, [30])[0], expected)
    assert torch.equal(feed(base, [30])[0], before)
    del base
    gc.collect()
    assert torch.equal(feed(model, [30])[0], expected)
    assert torch.equal(feed(deriving(model, mixed), [30])[0], expected)


@every_generation
def test_what_is_shared_counts_once(generation: str) -> None:
    tensors = tensors_of(generation)
    name = "blocks.1.att.key.weight"
    base = made(tensors)
    alone = resident_bytes([base])
    model = deriving(base, tensors, name)
    assert resident_bytes([base, base]) == alone
    computing = resident_bytes([deriving(base, tensors), base]) - alone
    assert resident_bytes([model, base]) == alone + computing + tensors[name].numel() * 2
    del base
    gc.collect()
    assert alone < resident_bytes([model]) < alone + computing


def test_models_of_different_kinds_share_nothing() -> None:
    tensors = tensors_of("7", TINY)
    base = made(tensors)
    for other, dtype in ((tensors, torch.int8), (tensors_of("7"), torch.bfloat16)):
        with pytest.raises(CheckpointError, match="cannot be shared by models of different kinds"):
            deriving(base, other, dtype=dtype)
    with pytest.raises(CheckpointError, match="cannot be shared by models of different kinds"):
        deriving(made(tensors_of("5.1", TINY)), tensors_of("5.2", TINY))


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
    model = native("7")
    with pytest.raises(ValueError, match=words):
        model.forward(torch.tensor(tokens), lengths, model.new_state(rows))


@pytest.mark.parametrize("token", [-1, 320])
def test_a_token_outside_the_vocabulary_is_refused(token: int) -> None:
    model = native("7")
    with pytest.raises(IndexError, match="outside the vocabulary of 320"):
        model.forward(torch.tensor([1, token]), [2], model.new_state(1))


def test_a_state_of_another_format_is_refused() -> None:
    model = native("7")
    state = model.new_state(1)
    state.att_shift = state.att_shift.bfloat16()
    with pytest.raises(ValueError, match=r"bfloat16 on cpu does not fit"):
        model.forward(TOKENS[:1], [1], state)


@every_generation
@pytest.mark.parametrize("which", range(3))
def test_a_state_whose_rows_lie_apart_is_refused(generation: str, which: int) -> None:
    model = native(generation)
    tensors = list(model.new_state(2).tensors)
    tensors[which] = torch.stack([tensors[which]] * 2, -1)[..., 0]
    with pytest.raises(ValueError, match="whole rows"):
        model.forward(TOKENS[:2], [1, 1], State(*tensors))


@every_generation
def test_every_tensor_that_is_missing_is_refused_by_its_name(generation: str) -> None:
    tensors = tensors_of(generation, TINY)
    spec = detect(tensors)
    unused = {f"blocks.0.att.v{i}" for i in range(3)}
    for name in tensors.keys() - unused:
        rest = {other: tensor for other, tensor in tensors.items() if other != name}
        with pytest.raises(CheckpointError, match="is missing") as caught:
            NativeModel(spec, rest.items(), torch.bfloat16, 1)
        assert name in str(caught.value)


@every_generation
def test_every_tensor_of_other_sizes_is_refused_by_its_name(generation: str) -> None:
    tensors = tensors_of(generation, TINY)
    spec = detect(tensors)
    for name, tensor in tensors.items():
        wrong = torch.zeros(*tensor.shape[:-1], tensor.shape[-1] + 1)
        with pytest.raises(CheckpointError) as caught:
            NativeModel(spec, (tensors | {name: wrong}).items(), torch.bfloat16, 1)
        assert name in str(caught.value)


def test_models_come_and_go_with_their_threads() -> None:
    for _ in range(5):
        feed(native("7", TINY, threads=4), [3])


def test_an_empty_base_shares_nothing_that_is_missing() -> None:
    tensors = tensors_of("6", USUAL)
    base = made(tensors)
    with pytest.raises(CheckpointError, match="is missing"):
        NativeModel(base.spec, {}.items(), base.dtype, 1, base=base, shared=["emb.weight"])

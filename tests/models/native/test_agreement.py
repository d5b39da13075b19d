"""The native library against its slow twins, at every instruction set that runs here."""

import os
import random
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.base import Model, State
from models.native.isa import ISA_VARIABLE, OF_BF16, instruction_sets
from tests.checkpoints import Sizes
from tests.models.native.agreement import (
    EIGHT_BITS,
    Expected,
    agrees,
    answer,
    check_prompts_and_a_step,
    copied,
    expected_of,
)
from tests.models.native.twins import (
    DTYPES,
    GENERATIONS,
    TOKENS,
    USUAL,
    divergence,
    feed,
    native,
    twin,
)

TINY = Sizes(layers=2, width=48, head_size=16, ffn_width=100, vocab_size=41, ranks=(8, 8, 4, 8))
SHAPES = {
    "usual": USUAL,
    "smallest heads": TINY,
    "small heads, an odd number": replace(TINY, width=96, head_size=32, ffn_width=72),
    "heads of 48": replace(TINY, width=240, head_size=48),
    "one head of 80": replace(TINY, width=80, head_size=80),
    "one wide head": replace(TINY, width=320, head_size=320),
    "odd sizes": Sizes(width=192, ffn_width=600, vocab_size=333, ranks=(5, 33, 1, 70)),
    "deep": replace(TINY, layers=8),
    "small k and v": replace(TINY, kv_scale=0.15),
}
# 5.0, 5.1 and 5.2 share their kernels, and so each other's shapes. Instruction sets follow one
# another, since a twin answers for several.
CASES = [
    (generation, shape, isa)
    for generation in GENERATIONS
    for j, shape in enumerate(SHAPES)
    for i, isa in enumerate(instruction_sets())
    if generation[0] != "5" or (i + j + int(generation[2])) % 3 == 0
]
VARIANTS = {
    "5.0, time_first": ("5.0", replace(TINY, bonus="time_first")),
    "5.2, time_first": ("5.2", replace(TINY, bonus="time_first")),
    "7, no v0 in layer 0": ("7", replace(TINY, first_layer_residual=False)),
}


@pytest.fixture(params=instruction_sets())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(ISA_VARIABLE, request.param)
    return str(request.param)


@lru_cache(maxsize=2 * len(DTYPES))
def expected(generation: str, sizes: Sizes, dtype: torch.dtype, *, of_bf16: bool) -> Expected:
    """By a twin that rounds as all instruction sets of OF_BF16 do, or as all others."""
    return expected_of(twin(generation, sizes, dtype, OF_BF16[0] if of_bf16 else "portable"))


def check(generation: str, sizes: Sizes, isa: str) -> None:
    for dtype in DTYPES:
        model = native(generation, sizes, dtype, 1)
        exact = expected(generation, sizes, dtype, of_bf16=isa in OF_BF16)
        assert model.isa == isa
        check_prompts_and_a_step(model, exact, isa, dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_logits_and_state_agree_with_the_twin(
    case: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    generation, shape, isa = case
    monkeypatch.setenv(ISA_VARIABLE, isa)
    check(generation, SHAPES[shape], isa)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_some_files_have_otherwise_agrees_too(variant: str, isa: str) -> None:
    check(*VARIANTS[variant], isa)


def drawn(draw: random.Random, generation: str) -> Sizes:
    """Any sizes that the library takes."""
    head_size = 16 * draw.choice([1, 1, 2, 3, 4, 4, 5, 6, 8])
    heads = draw.randint(1, max(1, 256 // head_size))
    return Sizes(
        layers=draw.randint(1, 3),
        width=head_size * heads,
        head_size=head_size,
        ffn_width=draw.randint(1, 300),
        vocab_size=draw.randint(41, 150),
        ranks=tuple(draw.randint(1, 70) for _ in range(4)),  # type: ignore[arg-type]
        bonus=draw.choice(["time_faaaa", "time_first"]) if generation[0] == "5" else "time_faaaa",
        kv_scale=draw.choice([0.3, 1.0]),
    )


def step(draw: random.Random, models: list[Model], states: list[State]) -> list[Tensor]:
    """The same ragged step through all models, on some of their rows."""
    rows = draw.randint(1, states[0].batch)
    lengths = [draw.choice([1, 1, 1, 2, 5, 31, 40]) for _ in range(rows)]
    tokens = torch.tensor([draw.randrange(41) for _ in range(sum(lengths))])
    every = draw.random() < 0.3
    return [
        model.forward(tokens, lengths, state.rows(rows), every=every)
        for model, state in zip(models, states, strict=True)
    ]


@settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2")),
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(draw=st.randoms(use_true_random=False))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("generation", GENERATIONS)
def test_ragged_steps_agree_whatever_the_sizes(
    generation: str, dtype: torch.dtype, isa: str, draw: random.Random
) -> None:
    sizes = drawn(draw, generation)
    model, exact = (
        native(generation, sizes, dtype, draw.randint(1, 3)),
        twin(generation, sizes, dtype, isa),
    )
    state = exact.new_state(5)
    for _ in range(4):
        copy = copied(state, model)
        ours, expected = step(draw, [model, exact], [copy, state])
        assert agrees((ours, copy), (expected, state), isa, dtype), sizes


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_prompt_longer_than_a_pass_agrees(generation: str, dtype: torch.dtype) -> None:
    model = native(generation, USUAL, dtype)
    exact = twin(generation, USUAL, dtype, model.isa)
    ours, expected = (answer(each, TOKENS, [1, 300, 99])[0] for each in (model, exact))
    assert divergence(ours, expected) < (0.01 if dtype in EIGHT_BITS else 0.001)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_native_model_and_twin_continue_each_other(generation: str, isa: str) -> None:
    model, exact = native(generation), twin(generation, isa=isa)
    expected = feed(exact, [50, 10])
    for first, second in ((model, exact), (exact, model)):
        _, state = feed(first, [50])
        logits = second.forward(TOKENS[50:60], [10], state)
        assert agrees((logits, state), expected, isa, torch.bfloat16)

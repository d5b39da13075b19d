"""The native library against its slow twins, at every instruction set that runs here."""

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.base import Model, State
from models.native.library import ISA_VARIABLE, instruction_sets
from tests.checkpoints import Sizes
from tests.models.native.twins import (
    DTYPES,
    GENERATIONS,
    TOKENS,
    USUAL,
    deviation,
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
CASES = [(generation, shape) for generation in GENERATIONS for shape in SHAPES]
VARIANTS = {
    "5.0, time_first": ("5.0", replace(TINY, bonus="time_first")),
    "5.2, time_first": ("5.2", replace(TINY, bonus="time_first")),
    "7, no v0 in layer 0": ("7", replace(TINY, first_layer_residual=False)),
}


@pytest.fixture(params=instruction_sets())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(ISA_VARIABLE, request.param)
    return str(request.param)


Answer = tuple[Tensor, State]


def agrees(ours: Answer, exact: Answer, isa: str, dtype: torch.dtype) -> bool:
    """int8 rounds what is multiplied to 16 bits, w8a8 and int4 to 8; bf16 in AVX-512 to bf16."""
    if dtype in {torch.qint8, torch.quint4x2}:
        return divergence(ours[0], exact[0]) < 0.1 and deviation(ours[1], exact[1]) < 0.4
    if isa == "avx512":
        return divergence(ours[0], exact[0]) < 0.005 and deviation(ours[1], exact[1]) < 0.15
    limit = 0.01 if dtype == torch.int8 else 2e-4
    return float((ours[0] - exact[0]).abs().max()) < limit > deviation(ours[1], exact[1])


def check(generation: str, sizes: Sizes, isa: str) -> None:
    for dtype in DTYPES:
        model, exact = native(generation, sizes, dtype, 1), twin(generation, sizes, dtype)
        assert model.isa == isa
        for parts in ([40], [1] * 6, [2, 31, 1]):
            assert agrees(feed(model, parts), feed(exact, parts), isa, dtype), (dtype, parts)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_logits_and_state_agree_with_the_twin(case: tuple[str, str], isa: str) -> None:
    generation, shape = case
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


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("generation", GENERATIONS)
def test_ragged_steps_agree_whatever_the_sizes(generation: str, seed: int, isa: str) -> None:
    draw = random.Random(f"{generation} {seed}")
    sizes, dtype = drawn(draw, generation), DTYPES[seed]
    models = native(generation, sizes, dtype, draw.randint(1, 3)), twin(generation, sizes, dtype)
    states = [model.new_state(5) for model in models]
    for _ in range(4):
        ours, exact = step(draw, list(models), states)
        assert agrees((ours, states[0]), (exact, states[1]), isa, dtype), sizes


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_prompt_longer_than_a_pass_agrees(generation: str, dtype: torch.dtype) -> None:
    model, exact = native(generation, USUAL, dtype), twin(generation, USUAL, dtype)
    lengths = [1, 300, 99]
    logits = model.forward(TOKENS, lengths, model.new_state(3))
    limit = 0.002 if dtype in {torch.bfloat16, torch.int8} else 0.1
    assert divergence(logits, exact.forward(TOKENS, lengths, exact.new_state(3))) < limit


@pytest.mark.parametrize("generation", GENERATIONS)
def test_native_model_and_twin_continue_each_other(generation: str, isa: str) -> None:
    model, exact = native(generation), twin(generation)
    expected = feed(exact, [50, 10])
    for first, second in ((model, exact), (exact, model)):
        _, state = feed(first, [50])
        logits = second.forward(TOKENS[50:60], [10], state)
        assert agrees((logits, state), expected, isa, torch.bfloat16)

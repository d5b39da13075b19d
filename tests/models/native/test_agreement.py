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
# 5.0, 5.1 and 5.2 share their kernels, and so each other's shapes.
CASES = [
    (generation, shape, isa)
    for i, isa in enumerate(instruction_sets())
    for generation in GENERATIONS
    for j, shape in enumerate(SHAPES)
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


# The twin rounds activations by the library's rule, so that sums of floats in another order are all
# that is left: about 1e-6. Where that moves a value across the border of two integers, the answers
# part by a step of the rounding, and recurrence carries it on: an embedding 1e-7 larger moves a
# twin's own answers as far (KL 5e-5 to 5e-3 after 300 tokens in 8 bits, as much as the library's).
# Steps of 8 bits are large and rarely met by one token, those of 16 bits small and met by all.
TYPICAL = {torch.bfloat16: 2e-5, torch.int8: 2e-3, torch.qint8: 2e-5, torch.quint4x2: 2e-5}
LARGEST = {torch.bfloat16: 0.005, torch.int8: 0.001, torch.qint8: 0.05, torch.quint4x2: 0.05}
EIGHT_BITS = (torch.qint8, torch.quint4x2)
UNROUNDED = {torch.bfloat16: 2e-4, torch.int8: 0.01}  # outside of AVX-512, which rounds to bf16
PROMPTS = range(1, 25)  # together longer than a pass


Answer = tuple[Tensor, State]


def agrees(ours: Answer, exact: Answer, isa: str, dtype: torch.dtype) -> bool:
    """In every row, whatever steps of the rounding they differ by."""
    if isa != "avx512" and dtype in UNROUNDED:
        most = float((ours[0] - exact[0]).abs().max())
        return most < UNROUNDED[dtype] > deviation(ours[1], exact[1])
    return divergence(ours[0], exact[0]) < LARGEST[dtype] and deviation(ours[1], exact[1]) < 0.15


def typically_agrees(ours: Answer, exact: Answer, dtype: torch.dtype) -> bool:
    """In most rows, to what sums of floats leave."""
    pairs = zip(ours[1].tensors, exact[1].tensors, strict=True)
    states = [typical((a - b).transpose(0, 1)) / float(b.abs().max()) for a, b in pairs]
    return max(typical(ours[0] - exact[0]), *states) < TYPICAL[dtype]


def typical(differences: Tensor) -> float:
    """[rows,…]; the median of the rows' largest ones."""
    return float(differences.abs().flatten(1).amax(1).median())


def copied(state: State, model: Model) -> State:
    copy = model.new_state(state.batch)
    for to, source in zip(copy.tensors, state.tensors, strict=True):
        to.copy_(source)
    return copy


def check(generation: str, sizes: Sizes, isa: str) -> None:
    for dtype in DTYPES:
        model, exact = native(generation, sizes, dtype, 1), twin(generation, sizes, dtype, isa)
        assert model.isa == isa
        check_prompts_and_a_step(model, exact, isa, dtype)


def check_prompts_and_a_step(model: Model, exact: Model, isa: str, dtype: torch.dtype) -> None:
    lengths, rows = list(PROMPTS), len(PROMPTS)
    ours, expected = (answer(each, TOKENS[: sum(lengths)], lengths) for each in (model, exact))
    assert agrees(ours, expected, isa, dtype), (dtype, "prompts")
    behind = copied(expected[1], model)
    ours = answer(model, TOKENS[:rows], [1] * rows, behind)
    expected = answer(exact, TOKENS[:rows], [1] * rows, expected[1])
    assert agrees(ours, expected, isa, dtype), (dtype, "a step")
    assert typically_agrees(ours, expected, dtype), (dtype, "a step")


def answer(model: Model, tokens: Tensor, lengths: list[int], state: State | None = None) -> Answer:
    state = state or model.new_state(len(lengths))
    return model.forward(tokens, lengths, state), state


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


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("generation", GENERATIONS)
def test_ragged_steps_agree_whatever_the_sizes(generation: str, seed: int, isa: str) -> None:
    draw = random.Random(f"{generation} {seed}")
    sizes, dtype = drawn(draw, generation), DTYPES[seed]
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

"""What it means that a native model and its slow twin agree."""

from typing import NamedTuple

import torch
from torch import Tensor

from models.base import Model, State
from models.native.isa import OF_BF16
from tests.models.native.twins import TOKENS, deviation, divergence

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
    if isa not in OF_BF16 and dtype in UNROUNDED:
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


class Expected(NamedTuple):
    """What a twin answers to prompts, and to a step from where they leave it."""

    prompts: Answer
    step: Answer


def expected_of(exact: Model) -> Expected:
    prompts = answer_prompts(exact)
    return Expected(prompts, answer_step(exact, copied(prompts[1], exact)))


def check_prompts_and_a_step(model: Model, exact: Expected, isa: str, dtype: torch.dtype) -> None:
    assert agrees(answer_prompts(model), exact.prompts, isa, dtype), (dtype, "prompts")
    ours = answer_step(model, copied(exact.prompts[1], model))
    assert agrees(ours, exact.step, isa, dtype), (dtype, "a step")
    assert typically_agrees(ours, exact.step, dtype), (dtype, "a step")


def answer_prompts(model: Model) -> Answer:
    return answer(model, TOKENS[: sum(PROMPTS)], list(PROMPTS))


def answer_step(model: Model, state: State) -> Answer:
    rows = len(PROMPTS)
    return answer(model, TOKENS[:rows], [1] * rows, state)


def answer(model: Model, tokens: Tensor, lengths: list[int], state: State | None = None) -> Answer:
    state = state or model.new_state(len(lengths))
    return model.forward(tokens, lengths, state), state

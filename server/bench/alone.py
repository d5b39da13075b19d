"""The figures of the engine alone, with prompts as long as those that our server counted."""

import gc
import time
from collections.abc import Sequence

from models import loader
from models.base import Model
from server.bench import engine
from server.bench.drive import Say
from server.bench.report import Answers, Decode, EngineFigures, Measured, Plan, Prefill
from server.bench.target import Target, load


def alone(
    target: Target, plan: Plan, served: Sequence[Answers], say: Say
) -> tuple[Measured, EngineFigures]:
    """The engine's figures; the model is gone from memory when it returns."""
    start = time.perf_counter()
    model = load(target, target.dtype, say)
    load_s = time.perf_counter() - start
    try:
        return _facts(target, model), _engine(model, load_s, plan, served, say)
    finally:
        del model
        gc.collect()


def _facts(target: Target, model: Model) -> Measured:
    spec = model.spec
    return Measured(
        id=target.id,
        generation=spec.generation,
        parameters=spec.parameters,
        layers=spec.layers,
        width=spec.width,
        vocab_size=spec.vocab_size,
        dtype=loader.format_name(model.dtype),
        device=str(model.device),
        random_weights=target.random_weights,
    )


def _engine(
    model: Model, load_s: float, plan: Plan, served: Sequence[Answers], say: Say
) -> EngineFigures:
    decoded, sampled, answered, prefilled = [], [], [], []
    tokens, rounds = plan.answer_tokens, plan.rounds
    for streams, length in ((it.streams, it.prompt_tokens or engine.PROMPT) for it in served):
        say(f"the engine alone, {streams} streams")
        greedy = engine.decode(model, streams, tokens, rounds, engine.GREEDY)
        decoded.append(Decode(streams, greedy))
        drawn = engine.decode(model, streams, tokens, rounds, engine.SAMPLED)
        sampled.append(Decode(streams, drawn))
        answers = engine.answers(model, streams, length, tokens, rounds)
        answered.append(Answers(streams, answers, length, 0))
    for length in plan.prefill:
        say(f"the engine alone, a prompt of {length:,} tokens")
        prefilled.append(Prefill(length, engine.prefill(model, length, rounds)))
    state_bytes = model.new_state(1).nbytes
    return EngineFigures(
        load_s, state_bytes, tuple(decoded), tuple(sampled), tuple(answered), tuple(prefilled)
    )

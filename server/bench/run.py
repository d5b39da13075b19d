"""From what was asked to a Report: servers side by side first, then the engine."""

from collections.abc import Sequence
from dataclasses import replace

from server import __version__
from server.bench.alone import alone
from server.bench.drive import Say
from server.bench.machine import machine
from server.bench.report import Answers, EngineFigures, Plan, Report, Spread
from server.bench.servers import Against, side_by_side
from server.bench.target import Target, check


def measure(target: Target | None, plan: Plan, against: Against | None, say: Say) -> Report:
    """Raises BenchError."""
    if target is None:
        servers = tuple(side_by_side(None, plan, against, say))
        return Report(__version__, machine(), plan, None, None, servers)
    check(target)
    own, *others = side_by_side(target, plan, against, say)
    model, figures = alone(target, plan, own.decode, say)
    own = replace(own, decode=_shares(own.decode, figures))
    return Report(__version__, machine(), plan, model, figures, (own, *others))


def _shares(served: Sequence[Answers], engine: EngineFigures) -> tuple[Answers, ...]:
    return tuple(
        replace(
            it,
            engine_share=_share(it.tokens_per_s, whole.tokens_per_s),
            writing_share=_share(it.writing_per_s, decode.tokens_per_s),
        )
        for it, whole, decode in zip(served, engine.answers, engine.decode, strict=True)
    )


def _share(speed: Spread | None, of: Spread) -> float | None:
    return None if speed is None else speed.median / of.median

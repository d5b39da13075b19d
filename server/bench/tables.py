"""A Report for people: one table for the engine, one for all servers with ratios."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat

from rich.console import Console
from rich.table import Table

from server.bench.report import (
    KINDS,
    Answers,
    EngineFigures,
    MaskFigures,
    Measured,
    QualityReport,
    Report,
    ServerFigures,
    Spread,
)
from server.hub import size_text


def show(report: Report, console: Console) -> None:
    """Medians everywhere; the JSON has the ranges."""
    machine = report.machine
    console.print(
        f"{machine.processor}, {machine.cores} cores, torch {machine.torch}; "
        f"rwkv-server {report.version}; medians of {report.plan.rounds}",
        markup=False,
    )
    if report.model and report.engine:
        console.print(_title(report.model), markup=False)
        console.print(_engine(report.engine))
    console.print(_servers(report.servers))


def show_masks(figures: Sequence[MaskFigures], console: Console) -> None:
    """One row for each kind of constraint."""
    table = _table("", "tokens", "grammar", "mask, median", "99 of 100", "slowest")
    for row in figures:
        times = (f"{time:.0f} µs" for time in (row.median_us, row.p99_us, row.most_us))
        table.add_row(row.name, str(row.tokens), f"{row.prepare_ms:.1f} ms", *times)
    console.print(table)


def show_quality(report: QualityReport, console: Console) -> None:
    """One row for each number format."""
    console.print(f"{report.model} on {report.text}", markup=False)
    columns = ("tokens", "perplexity", f"KL from {report.reference}", "same most likely token")
    table = _table("", *columns)
    for row in report.formats:
        shares = (f"{row.perplexity:.4f}", f"{row.kl:.2e}", f"{100 * row.agreement:.2f} %")
        table.add_row(row.dtype, f"{row.tokens:,}", *shares)
    console.print(table)


def _title(model: Measured) -> str:
    values = " of random weights" if model.random_weights else ""
    return f"{model.id}{values}: {model.parameters:,} parameters as {model.dtype}, {model.device}"


def _engine(figures: EngineFigures) -> Table:
    table = _table("the engine alone", "median", "range")
    for decode in figures.decode:
        speed = decode.tokens_per_s
        table.add_row(f"decode, {_streams(decode.streams)} (tokens/s)", *_ranged(speed))
    for decode in figures.sampled:
        label = f"decode with sampling, {_streams(decode.streams)} (tokens/s)"
        table.add_row(label, *_ranged(decode.tokens_per_s))
    for answers in figures.answers:
        label = f"answers, prompts and all, {_streams(answers.streams)} (tokens/s)"
        table.add_row(label, *_ranged(answers.tokens_per_s))
    for prefill in figures.prefill:
        speed = prefill.tokens_per_s
        table.add_row(f"prefill, {prefill.tokens:,} tokens (tokens/s)", *_ranged(speed))
    table.add_row("loading (s)", f"{figures.load_s:.2f}", "")
    table.add_row("state of a conversation", size_text(figures.state_bytes), "")
    return table


def _servers(servers: Sequence[ServerFigures]) -> Table:
    names = [f"{server.name}\n{server.model}" for server in servers]
    ratios = ["ratio"] * (len(servers) - 1)
    shares = [_share(share) for it in servers[0].decode for share in _shares_of(it)]
    last = ["share of\nthe engine"] if any(shares) else []
    table = _table("over HTTP", *_interleave(names, ratios), *last)
    # Rows begin with those of decode.
    for (name, values), share in zip(_rows(servers), chain(shares, repeat("")), strict=False):
        shown = [_number(value) for value in values]
        ratios = [_ratio(it, values[0]) for it in values[1:]]
        table.add_row(name, *_interleave(shown, ratios), *([share] if last else []))
    for server in servers:
        if server.start_s is not None:
            table.add_row("start (s)", f"{server.start_s:.1f}")
            table.add_row("resident once loaded", _size(server.loaded_bytes))
            table.add_row("resident after all", _size(server.worked_bytes))
    return table


def _shares_of(answers: Answers) -> tuple[float | None, float | None]:
    return answers.engine_share, answers.writing_share


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"


def _rows(servers: Sequence[ServerFigures]) -> Iterator[tuple[str, list[float]]]:
    for at, decode in enumerate(servers[0].decode):
        label = _streams(decode.streams)
        answers = [server.decode[at] for server in servers]
        yield f"{label} (tokens/s)", [it.tokens_per_s.median for it in answers]
        yield f"{label}, once they write (tokens/s)", [_writing(it) for it in answers]
    for at, turns in enumerate(servers[0].turns):
        for kind in KINDS:
            label = f"{kind.replace('_', '-')} after {turns.prompt_tokens or turns.history:,} (ms)"
            yield label, [server.turns[at].first_token_ms[kind].median for server in servers]
    longs = [server.long for server in servers if server.long]
    if longs:
        yield "turns 2 to 4 (ms)", [it.early_ms.median for it in longs]
        yield (
            f"turns {longs[0].turns - 2} to {longs[0].turns} (ms)",
            [it.late_ms.median for it in longs],
        )


def _writing(answers: Answers) -> float:
    return answers.writing_per_s.median if answers.writing_per_s is not None else 0.0


def _table(*columns: str) -> Table:
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _interleave(first: Sequence[str], second: Sequence[str]) -> Iterable[str]:
    """first[0], first[1], second[0], first[2], second[1], …"""
    yield first[0]
    for pair in zip(first[1:], second, strict=True):
        yield from pair


def _ranged(speed: Spread) -> tuple[str, str]:
    return _number(speed.median), f"{_number(speed.low)} to {_number(speed.high)}"


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f} ×" if base else "–"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _size(size: int | None) -> str:
    return "unknown" if size is None else size_text(size)


def _streams(count: int) -> str:
    return f"{count} stream{'' if count == 1 else 's'}"

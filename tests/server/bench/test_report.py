"""The report: what its documentation says, and what its tables show."""

from dataclasses import fields, is_dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console

from server.bench import report, tables
from server.bench.report import (
    KINDS,
    Answers,
    Machine,
    Plan,
    Report,
    ServerFigures,
    Spread,
    Turns,
    spread,
)

PAGE = Path(__file__).parents[3] / "docs" / "benchmarks.md"
MACHINE = Machine("a processor", 2, "an OS", "3.11", "2.13")


def server(
    name: str, factor: float, share: float | None = None, writing: tuple[Spread, float] | tuple = ()
) -> ServerFigures:
    times = {kind: spread([factor * (number + 1)]) for number, kind in enumerate(KINDS)}
    return ServerFigures(
        name=name,
        url="http://" + name,
        model="m",
        start_s=None,
        loaded_bytes=None,
        worked_bytes=None,
        decode=(Answers(8, spread([100 * factor]), 20, 0, share, *writing),),
        turns=(Turns(100, 97, times),),
        long=None,
    )


def test_every_field_is_documented() -> None:
    known = [it for it in vars(report).values() if isinstance(it, type) and is_dataclass(it)]
    names = {field.name for it in known for field in fields(it)} | set(KINDS)
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_a_spread_is_median_and_range() -> None:
    assert spread([5.0, 1.0, 2.0]) == report.Spread(2.0, 1.0, 5.0)


def cells(label: str, *servers: ServerFigures) -> list[str]:
    """Of the row of that label."""
    found = Report("0", MACHINE, Plan(), None, None, servers)
    text = StringIO()
    tables.show(found, Console(file=text, width=100))
    (line,) = [line for line in text.getvalue().splitlines() if label in line]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_other_servers_have_a_ratio_to_the_first() -> None:
    shown = cells("edit after 97 (ms)", server("a", 1), server("b", 2.5))
    assert shown == ["edit after 97 (ms)", "4.0", "10.0", "2.50 ×"]


def test_a_share_of_the_engine_stands_in_a_column_of_its_own() -> None:
    both = server("a", 1, share=0.913), server("b", 2)
    assert cells("8 streams (", *both) == ["8 streams (tokens/s)", "100", "200", "2.00 ×", "0.91"]
    assert cells("edit after", *both)[-1] == ""


def test_writing_has_a_row_with_a_share_of_its_own() -> None:
    shown = cells("once they write", server("a", 1, 0.8, (spread([250.0]), 0.95)))
    assert shown == ["8 streams, once they write (tokens/s)", "250", "0.95"]

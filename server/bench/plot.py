"""Time to the first token against the length of the history, as a picture."""

from importlib.util import find_spec
from pathlib import Path

from server.bench.report import KINDS, BenchError, ServerFigures

_STYLES = ("-", "--", ":", "-.")  # one for each server


def check(path: Path) -> None:
    """Raises BenchError, before anything is measured, if no picture could be written."""
    if path.suffix != ".png":
        raise BenchError(f"--plot is {path}: give a file called something.png.")
    if not path.absolute().parent.is_dir():
        raise BenchError(f"--plot is {path}, in a folder that does not exist; create it first.")
    if find_spec("matplotlib") is None:
        raise BenchError("--plot needs matplotlib: install it with pip install rwkv-server[bench].")


def plot(servers: tuple[ServerFigures, ...], path: Path) -> None:
    """Writes a PNG: colours are kinds of turns, line styles are servers, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot(
        xscale="log",
        yscale="log",
        xlabel="tokens of history",
        ylabel="milliseconds to the first token",
        title="A turn after a history",
    )
    for server, style in zip(servers, _cycled(len(servers)), strict=True):
        for number, kind in enumerate(KINDS):
            axes.plot(
                [turns.prompt_tokens or turns.history for turns in server.turns],
                [turns.first_token_ms[kind].median for turns in server.turns],
                linestyle=style,
                marker="o",
                color=f"C{number}",
                label=f"{kind.replace('_', '-')}, {server.name}",
            )
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.2)
    figure.legend(loc="outside right upper", fontsize="small")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror or error}.") from error


def _cycled(count: int) -> list[str]:
    return [_STYLES[i % len(_STYLES)] for i in range(count)]

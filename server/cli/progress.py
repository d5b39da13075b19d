"""How far long work is: a bar for people at a terminal, a line now and then elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
LINE_S = 2.0  # between two lines; what loads faster than that needs none


def loading(name: str) -> AbstractContextManager[Report]:
    """What to call with (bytes done, bytes in all) while `name` is loaded."""
    return working("loading", name)


@contextmanager
def working(verb: str, name: str) -> Iterator[Report]:
    """What to call with (bytes done, bytes in all) while `verb` is done to `name`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(verb, name)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{verb} {escape(name)}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    def __init__(self, verb: str, name: str) -> None:
        self._what = f"{verb} {name}"
        self._said_at = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._said_at >= LINE_S:
            self._said_at = now
            log.info("%s: %d %%", self._what, 100 * done // max(total, 1))

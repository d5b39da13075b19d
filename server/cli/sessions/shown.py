"""Sessions on a terminal: a table of all, and one as a tree."""

import time
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from server.hub import size_text

_ENDLESS = 10_000  # columns, where no terminal sets a width
_WORDS = 60  # characters of a message that the tree shows


def show(what: Table | Tree) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=_ENDLESS)
    console.print(what)


def table_of(found: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("session", no_wrap=True)
    table.add_column("model")
    for name in ("turns", "branches", "tokens", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("tier", "last used", "pinned"):
        table.add_column(name, no_wrap=True)
    for one in found:
        table.add_row(
            *(one["id"], escape(one["model"] or "not served")),
            *(str(one[name]) for name in ("turns", "branches", "tokens")),
            *(size_text(one["bytes"]), one["tier"], _when(one["last_used"])),
            "yes" if one["pinned"] else "",
        )
    return table


def _when(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def tree_of(found: dict[str, Any]) -> Tree:
    root = Tree(f"{found['id']}  {escape(found['model'] or 'not served')}")
    places: dict[str | None, Tree] = {None: root}
    for one in found["data"]:
        label = _label(one, newest=one["id"] == found["newest"])
        places[one["id"]] = places[one["parent"]].add(label)
    return root


def _label(turn: dict[str, Any], *, newest: bool) -> str:
    kept = f"{turn['tokens']} tokens, {turn['tier']}" if turn["tier"] else "read again"
    marks = ["pinned"] * turn["pinned"] + ["newest"] * newest
    head = f"{turn['turn']}  {turn['id']}  ({', '.join([kept, *marks])})"
    said = [f"{m['role']}: {_short(m['content'])}" for m in turn["messages"] or ()]
    return "\n".join([head, *map(escape, said)])


def _short(text: str) -> str:
    line = " ".join(text.split())
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return shown if len(shown) <= _WORDS else f"{shown[: _WORDS - 1]}…"

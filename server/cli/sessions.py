"""`rwkv-server sessions`: the kept conversations of a running server."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from server.cli import options
from server.cli.chat import address
from server.cli.remote import told_error
from server.hub import size_text

app = typer.Typer(no_args_is_help=True)

_ENDLESS = 10_000  # columns, where no terminal sets a width
_CONNECT_S = 10.0
_PAGE = 1000
_WORDS = 60  # characters of a message that the tree shows
_OCTETS = {"content-type": "application/octet-stream"}

Url = Annotated[str | None, typer.Option(help="Server to ask (default: the configured address).")]
AsJson = Annotated[bool, typer.Option("--json", help="What the server answers, as JSON.")]
SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="Id, or how it begins.")]
TurnName = Annotated[
    str | None,
    typer.Option("--turn", help="Id of a turn, or its number on the branch that was used last."),
]


class Remote:
    """A running server, asked one thing after the other."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def ask(self, method: str, path: str = "", **more: Any) -> Any:
        """The JSON of an answer; ends the process with one sentence where there is none."""
        with self.asking(method, path, **more) as response:
            return json.loads(response.read())

    @contextmanager
    def asking(self, method: str, path: str, **more: Any) -> Iterator[httpx.Response]:
        try:
            where = f"{self._url}/v1/sessions{path}"
            timeout = httpx.Timeout(None, connect=_CONNECT_S)
            headers = self._headers | more.pop("headers", {})
            with httpx.stream(method, where, headers=headers, timeout=timeout, **more) as response:
                if response.is_error:
                    options.fail(told_error(response.status_code, response.read()))
                yield response
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            options.fail(f"{self._url} does not answer ({reason}); is `rwkv-server serve` running?")

    def all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more = True
        while more:
            after = {"after": found[-1]["id"]} if found else {}
            page = self.ask("GET", params={"limit": _PAGE, **after})
            found, more = found + page["data"], page["has_more"]
        return found

    def id(self, begun: str) -> str:
        """The only session whose id begins so."""
        ids: list[str] = [one["id"] for one in self.all()]
        found = [id for id in ids if begun in (id, id[: len(begun)], id[5 : 5 + len(begun)])]
        if len(found) != 1:
            options.fail(f"{len(found) or 'no'} sessions have an id that begins with {begun}.")
        return found[0]


def _remote(url: str | None, keys: list[str] | None, config_file: Path | None) -> Remote:
    settings = options.settings(config_file, {"server.api_keys": keys})
    known = settings.server.api_keys
    return Remote(url or address(settings), known[0] if known else None)


@app.command("list")
def list_sessions(
    as_json: AsJson = False,
    url: Url = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """List the kept conversations, the most recently used first."""
    found = _remote(url, api_key, config_file).all()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif found:
        _print(_table(found))
    else:
        typer.echo("No conversation is kept there.", err=True)


@app.command("show")
def show(
    session: SessionId,
    as_json: AsJson = False,
    url: Url = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Show the turns of a session as a tree, with what was said."""
    remote = _remote(url, api_key, config_file)
    found = remote.ask("GET", f"/{remote.id(session)}", params={"text": "true"})
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(_tree(found))


@app.command("fork")
def fork(
    session: SessionId,
    turn: TurnName = None,
    as_json: AsJson = False,
    url: Url = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Make a conversation that goes on from a turn, and print its id."""
    remote = _remote(url, api_key, config_file)
    made = remote.ask("POST", f"/{remote.id(session)}/fork", json={"turn": _turn(turn)})
    _say(made, made["id"], as_json=as_json)


@app.command("rewind")
def rewind(
    session: SessionId,
    turn: Annotated[str, typer.Option("--turn", help="The last turn that stays.")],
    as_json: AsJson = False,
    url: Url = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Forget for good what came after a turn; print the id of a conversation that goes on there."""
    remote = _remote(url, api_key, config_file)
    made = remote.ask("POST", f"/{remote.id(session)}/rewind", json={"turn": _turn(turn)})
    _say(made, made["id"], as_json=as_json)


@app.command("pin")
def pin(
    session: SessionId,
    turn: TurnName = None,
    as_json: AsJson = False,
    url: Url = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Keep the states at the ends of its branches, or of a turn, from being given up."""
    remote = _remote(url, api_key, config_file)
    kept = remote.ask("POST", f"/{remote.id(session)}/pin", json={"turn": _turn(turn)})
    _say(kept, f"{kept['id']} is pinned.", as_json=as_json)


@app.command("unpin")
def unpin(
    session: SessionId,
    turn: TurnName = None,
    as_json: AsJson = False,
    url: Url = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Take a pin back."""
    remote = _remote(url, api_key, config_file)
    kept = remote.ask("POST", f"/{remote.id(session)}/unpin", json={"turn": _turn(turn)})
    still = "still pinned elsewhere" if kept["pinned"] else "not pinned any more"
    _say(kept, f"{kept['id']} is {still}.", as_json=as_json)


@app.command("rm")
def rm(
    session: SessionId,
    as_json: AsJson = False,
    url: Url = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Delete a session for good."""
    remote = _remote(url, api_key, config_file)
    gone = remote.ask("DELETE", f"/{remote.id(session)}")
    _say(gone, f"{gone['id']} is deleted.", as_json=as_json)


@app.command("export")
def export(
    session: SessionId,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    turn: TurnName = None,
    tree: Annotated[bool, typer.Option("--tree", help="All branches.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Write a session to a file that another server with the same model can import."""
    remote = _remote(url, api_key, config_file)
    params = {"tree": "true" if tree else "false"} | ({"turn": turn} if turn else {})
    id = remote.id(session)
    part = file.with_name(f"{file.name}.part")
    try:
        with (
            remote.asking("GET", f"/{id}/export", params=params) as response,
            part.open("wb") as target,
        ):
            for piece in response.iter_bytes():
                target.write(piece)
        part.replace(file)
    except OSError as error:
        options.fail(f"{file} cannot be written: {error.strerror}.")
    finally:
        part.unlink(missing_ok=True)
    nbytes = file.stat().st_size
    made = {"id": id, "file": str(file), "bytes": nbytes}
    _say(made, f"{file} has {size_text(nbytes)}.", as_json=as_json)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    as_json: AsJson = False,
    url: Url = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Read a session from a file, and print the id of a conversation that goes on where it ends."""
    remote = _remote(url, api_key, config_file)
    try:
        with file.open("rb") as source:
            made = remote.ask("POST", "/import", content=source, headers=_OCTETS)
    except OSError as error:
        options.fail(f"{file} cannot be read: {error.strerror}.")
    _say(made, made["id"], as_json=as_json)


def _turn(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.isdecimal() else given


def _say(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(answer, indent=2) if as_json else text)


def _print(what: Table | Tree) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=_ENDLESS)
    console.print(what)


def _table(found: list[dict[str, Any]]) -> Table:
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


def _tree(found: dict[str, Any]) -> Tree:
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

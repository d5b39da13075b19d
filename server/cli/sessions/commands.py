"""What `rwkv-server sessions` does, each command in one exchange with a server."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from server.cli import options
from server.cli.sessions.remote import Remote, asking
from server.cli.sessions.shown import show, table_of, tree_of
from server.hub import size_text

app = typer.Typer(no_args_is_help=True)

_OCTETS = {"content-type": "application/octet-stream"}

AsJson = Annotated[bool, typer.Option("--json", help="What the server answers, as JSON.")]
SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="Id, or how it begins.")]
TurnName = Annotated[
    str | None,
    typer.Option("--turn", help="Id of a turn, or its number on the branch that was used last."),
]


@app.command("list")
@asking
def list_sessions(
    remote: Remote,
    model: Annotated[str | None, typer.Option(help="Those of this model or adapter only.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the kept conversations, the most recently used first."""
    found = remote.all(model)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif found:
        show(table_of(found))
    else:
        typer.echo("No conversation is kept there.", err=True)


@app.command("show")
@asking
def show_session(remote: Remote, session: SessionId, as_json: AsJson = False) -> None:
    """Show the turns of a session as a tree, with what was said."""
    found = remote.ask("GET", f"/{remote.id(session)}", params={"text": "true"})
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        show(tree_of(found))


@app.command("fork")
@asking
def fork(
    remote: Remote, session: SessionId, turn: TurnName = None, as_json: AsJson = False
) -> None:
    """Make a conversation that goes on from a turn, and print its id."""
    made = remote.ask("POST", f"/{remote.id(session)}/fork", json={"turn": _turn(turn)})
    _say(made, made["id"], as_json=as_json)


@app.command("rewind")
@asking
def rewind(
    remote: Remote,
    session: SessionId,
    turn: Annotated[str, typer.Option("--turn", help="The last turn that stays.")],
    as_json: AsJson = False,
) -> None:
    """Forget for good what came after a turn; print the id of a conversation that goes on there."""
    made = remote.ask("POST", f"/{remote.id(session)}/rewind", json={"turn": _turn(turn)})
    _say(made, made["id"], as_json=as_json)


@app.command("pin")
@asking
def pin(remote: Remote, session: SessionId, turn: TurnName = None, as_json: AsJson = False) -> None:
    """Keep the states at the ends of its branches, or of a turn, from being given up."""
    kept = remote.ask("POST", f"/{remote.id(session)}/pin", json={"turn": _turn(turn)})
    _say(kept, f"{kept['id']} is pinned.", as_json=as_json)


@app.command("unpin")
@asking
def unpin(
    remote: Remote, session: SessionId, turn: TurnName = None, as_json: AsJson = False
) -> None:
    """Take a pin back."""
    kept = remote.ask("POST", f"/{remote.id(session)}/unpin", json={"turn": _turn(turn)})
    still = "still pinned elsewhere" if kept["pinned"] else "not pinned any more"
    _say(kept, f"{kept['id']} is {still}.", as_json=as_json)


@app.command("rm")
@asking
def rm(remote: Remote, session: SessionId, as_json: AsJson = False) -> None:
    """Delete a session for good."""
    gone = remote.ask("DELETE", f"/{remote.id(session)}")
    _say(gone, f"{gone['id']} is deleted.", as_json=as_json)


@app.command("export")
@asking
def export(
    remote: Remote,
    session: SessionId,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    turn: TurnName = None,
    tree: Annotated[bool, typer.Option("--tree", help="All branches.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a session to a file that another server with the same model can import."""
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
@asking
def import_file(
    remote: Remote, file: Annotated[Path, typer.Argument(metavar="FILE")], as_json: AsJson = False
) -> None:
    """Read a session from a file, and print the id of a conversation that goes on where it ends."""
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

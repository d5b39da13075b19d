"""The server that the commands ask, by the options that all of them have."""

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any

import httpx
import typer

from server.cli import options
from server.cli.chat import address
from server.cli.remote import told_error

_CONNECT_S = 10.0
_PAGE = 1000

Url = Annotated[str | None, typer.Option(help="Server to ask (default: the configured address).")]


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

    def all(self, model: str | None = None) -> list[dict[str, Any]]:
        of = {} if model is None else {"model": model}
        found: list[dict[str, Any]] = []
        more = True
        while more:
            after = {"after": found[-1]["id"]} if found else {}
            page = self.ask("GET", params={"limit": _PAGE, **of, **after})
            found, more = found + page["data"], page["has_more"]
        return found

    def id(self, begun: str) -> str:
        """The only session whose id begins so."""
        ids: list[str] = [one["id"] for one in self.all()]
        found = [id for id in ids if begun in (id, id[: len(begun)], id[5 : 5 + len(begun)])]
        if len(found) != 1:
            options.fail(f"{len(found) or 'no'} sessions have an id that begins with {begun}.")
        return found[0]


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is the server that its last options name."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = inspect.signature(_remote, eval_str=True).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        command(_remote(**{name: given.pop(name) for name in shared}), **given)

    every = [*own, *shared.values()]
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in every}
    return run


def _remote(
    url: Url = None, api_key: options.ApiKeys = None, config_file: options.ConfigFile = None
) -> Remote:
    settings = options.settings(config_file, {"server.api_keys": api_key})
    known = settings.server.api_keys
    return Remote(url or address(settings), known[0] if known else None)

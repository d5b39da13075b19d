"""`rwkv-server sessions` against real server processes with the bundled model."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from server.cli import app
from tests.serving import server

KEY = {"a": "key-a", "b": "key-b"}
MODEL = ("--model", "gosling", "--device", "cpu")


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """Two servers with different keys, the one with an encrypted archive."""
    secret = {"RWKV_SERVER_SESSIONS__ENCRYPTION_KEY": "ab" * 32}
    with (
        server(*MODEL, "--api-key", KEY["a"], env=secret) as a,
        server(*MODEL, "--api-key", KEY["b"]) as b,
    ):
        yield {"a": a, "b": b}


@pytest.fixture
def run(
    urls: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def command(where: str, *arguments: str, code: int = 0) -> Result:
        flags = ("--url", urls[where], "--api-key", KEY[where])
        result = CliRunner().invoke(app, ["sessions", *arguments, *flags])
        assert result.exit_code == code, result.output
        return result

    return command


def ask(url: str, where: str, text: str, **more: object) -> dict[str, object]:
    """The answer to one more message, and the tokens that were read for it."""
    body = {"model": "gosling", "temperature": 0, "max_tokens": 24, **more}
    body["messages"] = [*body.get("messages", []), {"role": "user", "content": text}]  # type: ignore[misc]
    headers = {"authorization": f"Bearer {KEY[where]}"}
    response = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=120)
    assert response.status_code == 200, response.text
    answer = response.json()
    usage = answer["usage"]
    read = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
    return {"text": answer["choices"][0]["message"]["content"], "read": read}


def test_a_conversation_is_carried_from_one_server_to_another(
    urls: dict[str, str], run: Callable[..., Result]
) -> None:
    first = ask(urls["a"], "a", "Hello! My name is Orla.")
    (session,) = json.loads(run("a", "list", "--json").stdout)
    id = session["id"]
    assert re.search(rf"{id} +gosling +1 +1 ", run("a", "list").stdout)
    made = run("a", "fork", id).stdout.strip()
    ask(urls["a"], "a", "What is 17 + 25?", conversation=made)
    shown = run("a", "show", id[:9]).stdout
    assert "Hello! My name is Orla." in shown
    assert "What is 17 + 25?" in shown
    assert "newest" in shown
    assert str(first["text"])[:20] in shown

    run("a", "export", id, "orla.session")
    here = run("a", "fork", id).stdout.strip()
    brought = json.loads(run("b", "import", "orla.session", "--json").stdout)
    question = "What is my name?"
    ours = ask(urls["a"], "a", question, conversation=here)
    theirs = ask(urls["b"], "b", question, conversation=brought["id"])
    assert theirs == ours
    assert "Orla" in str(ours["text"])
    assert int(str(ours["read"])) < 20

    assert "is pinned" in run("b", "pin", brought["session"]).stdout
    assert " yes" in run("b", "list").stdout
    assert "not pinned any more" in run("b", "unpin", brought["session"]).stdout
    rewound = json.loads(run("b", "rewind", brought["session"], "--turn", "1", "--json").stdout)
    assert rewound["deleted"] > 0
    assert "What is 17 + 25?" not in run("b", "show", brought["session"]).stdout
    assert "is deleted" in run("b", "rm", brought["session"]).stdout
    assert "No conversation is kept there." in run("b", "list").stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("show", "sess_ff"), "no sessions have an id that begins with sess_ff"),
        (("import", "nothing.session"), "cannot be read"),
        (("import", "bad.session"), "cannot be imported"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run: Callable[..., Result], arguments: tuple[str, ...], word: str
) -> None:
    Path("bad.session").write_bytes(b"nothing of the kind")
    result = run("b", *arguments, code=2)
    assert word in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_server_that_is_not_there_is_named(run: Callable[..., Result]) -> None:
    result = CliRunner().invoke(app, ["sessions", "list", "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 2
    assert "does not answer" in result.stderr

"""A complete little model on disk, of random weights, and a real server in a thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.app import App, build
from server.cli.serve import bind
from server.cli.server import Server
from server.config import Settings, load
from tests.checkpoints import Sizes, random_rwkv7, save
from tests.models.tokenizer.tokenizer_files import byte_level

SIZES = Sizes(layers=2, width=64, head_size=32, ffn_width=128, vocab_size=512)


def checkpoint(folder: Path, name: str = "tiny.pth", seed: int = 0) -> Path:
    """The model's file; its tokenizer lies beside it."""
    folder.mkdir(exist_ok=True)
    byte_level(folder / "tokenizer.json")
    return save(random_rwkv7(SIZES, seed), folder / name)


def settings(path: Path, **overrides: object) -> Settings:
    """Defaults for `path`, on a free port; overrides with two underscores for the dot."""
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    defaults = {"model.path": str(path), "model.device": "cpu", "server.port": 0}
    defaults |= {"model.threads": 1, "sessions.archive": False}
    return load(directory=path.parent, overrides=defaults | named)


@contextmanager
def served(path: Path, **overrides: object) -> Iterator[tuple[str, App]]:
    """The URL of a server for `path`, and what runs in it."""
    with serving(settings(path, **overrides)) as both:
        yield both


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[str, App]]:
    """The URL of a server with these settings, and what runs in it."""
    app = build(settings)
    with bind(settings.server) as listener:
        server = Server(app, listener)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield server.url, app
        finally:  # a thread that is left would keep all tests from ending
            server.should_exit = True
            thread.join(timeout=30)
        assert not thread.is_alive()

"""A small hub on this machine: what huggingface_hub and `pull` ask of a real one."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

_INFO = re.compile(r"/api/models/([^/]+/[^/]+)(/revision/main)?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_LFS_FROM = 1000  # bytes; smaller files are kept by git itself
TOKEN = "hf_right"


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """Files by name. gated: its files need TOKEN."""

    files: dict[str, bytes]
    gated: bool = False

    @property
    def commit(self) -> str:
        names = sorted(self.files)
        return git_hash("".join(f"{name} {self.digest(name)}\n" for name in names).encode())

    def digest(self, name: str) -> str:
        content = self.files[name]
        if len(content) >= _LFS_FROM:
            return hashlib.sha256(content).hexdigest()
        return git_hash(content)

    def listing(self) -> dict[str, Any]:
        siblings = [self._sibling(name, content) for name, content in self.files.items()]
        return {"id": "x", "sha": self.commit, "siblings": siblings}

    def _sibling(self, name: str, content: bytes) -> dict[str, Any]:
        entry = {"rfilename": name, "size": len(content), "blobId": git_hash(content)}
        if len(content) >= _LFS_FROM:
            lfs = {"size": len(content), "sha256": self.digest(name), "pointerSize": 130}
            return entry | {"lfs": lfs}
        return entry


@dataclass
class Hub:
    """url: for HF_ENDPOINT. requests: what was asked, "METHOD path [range]".

    cuts: the next answers with content end after so many bytes. damaged: as many of the next
    answers have one wrong byte. ignores_ranges: every answer is the whole file. status: what
    everything is answered with, instead of an answer. hold: once this many bytes of an answer were
    sent, the rest waits for `released`.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    damaged: int = 0
    ignores_ranges: bool = False
    status: int = 0
    hold: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def gets(self) -> list[str]:
        """The requests for the content of files: file name and range."""
        return [
            re.sub(r"^GET .*/", "", request) for request in self.requests if "/resolve/" in request
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        wanted = self.headers.get("range")
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"GET {path}" + (f" {wanted}" if wanted else ""))
        if self.hub.status:
            self._send(self.hub.status, b"<html>")
        elif match := _INFO.fullmatch(path):
            self._info(match[1])
        elif match := _FILE.fullmatch(path):
            self._file(*match.groups())
        else:
            self._send(404, b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _info(self, name: str) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            # What the real one says to those without a token.
            self._refuse(401, "RepoNotFound")
        else:
            self._send(200, json.dumps(repository.listing()).encode())

    def _file(self, name: str, commit: str, file: str) -> None:
        repository = self.hub.repositories[name]
        if repository.gated and self.headers.get("authorization") != f"Bearer {TOKEN}":
            self._refuse(403, "GatedRepo")
        elif commit not in {repository.commit, "main"} or file not in repository.files:
            self._refuse(404, "EntryNotFound")
        else:
            self._content(repository, file)

    def _content(self, repository: Repository, file: str) -> None:
        content = repository.files[file]
        if self.hub.damaged:
            self.hub.damaged -= 1
            content = bytes([content[0] ^ 1]) + content[1:]
        headers = {
            "ETag": f'"{repository.digest(file)}"',
            "X-Repo-Commit": repository.commit,
            "X-Linked-Size": str(len(content)),
            "X-Linked-Etag": f'"{repository.digest(file)}"',
        }
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        if wanted is None or self.hub.ignores_ranges:
            self._send(200, content, headers)
            return
        start = int(wanted[1])
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206, content[start:], headers)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b'{"error": "no"}', {"X-Error-Code": code, "X-Error-Message": "no"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if headers and status in {200, 206} and self.hub.cuts:
            self.wfile.write(body[: self.hub.cuts.pop(0)])
            self.close_connection = True
        elif headers and self.hub.hold:
            self.wfile.write(body[: self.hub.hold])
            self.hub.released.wait(20)
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@contextmanager
def running() -> Iterator[Hub]:
    """An empty hub, on a free port."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield hub
        hub.released.set()
        server.shutdown()
        thread.join()

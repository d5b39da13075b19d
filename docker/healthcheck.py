"""Exits 0 when the server in this container answers /health with 200, else 1."""

import os
import sys
from http import HTTPStatus
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 4


def healthy(port: str) -> bool:
    """Whether the server on this machine's `port` says that it is well."""
    direct = build_opener(ProxyHandler({}))  # a proxy would look for 127.0.0.1 elsewhere
    try:
        with direct.open(f"http://127.0.0.1:{port}/health", timeout=TIMEOUT_S) as response:
            return bool(response.status == HTTPStatus.OK)
    except (URLError, TimeoutError, ConnectionError):
        return False


if __name__ == "__main__":
    sys.exit(not healthy(os.environ.get("RWKV_SERVER_PORT") or "8000"))

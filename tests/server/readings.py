"""What a server says of itself in its metrics."""

import re

import httpx


def reading(url: str, name: str) -> float:
    """The first value of a metric."""
    text = httpx.get(f"{url}/metrics", timeout=60).text
    found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)
    assert found, name
    return float(found[1])

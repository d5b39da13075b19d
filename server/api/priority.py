"""Which requests come first: those that somebody waits for, and then by `priority`."""

from typing import Annotated

from fastapi import Request
from pydantic import Field

from server.api.fields import INTEGRAL

# As vLLM has it, but that nobody can go before the others.
Priority = Annotated[int, Field(ge=0, le=1_000_000), INTEGRAL]


def priority_of(request: Request, asked: int | None) -> int:
    """A lower number comes first; what belongs to a batch begins at a later one."""
    base: int = getattr(request.state, "priority", 0)
    return base + (asked or 0)


def is_inside(request: Request) -> bool:
    """It comes from within the server, where only what belongs to a batch does."""
    return hasattr(request.state, "priority")

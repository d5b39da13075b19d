"""Lists by pages, as OpenAI's clients turn them: `after` an id, so many of them, in an order."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from fastapi import Request

from server.errors import InvalidRequest, NotFound

Item = TypeVar("Item")
Order = Literal["asc", "desc"]


def paged(*, most: int = 100, default: int = 20, order: Order = "desc") -> dict[str, Any]:
    """What the API's document says of the query that page() reads."""
    limit = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return {
        "parameters": [
            queried("limit", limit),
            queried("order", {"enum": ["asc", "desc"], "default": order}),
            queried("after", {"type": "string"}),
        ]
    }


def queried(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """An optional parameter of a query, as the API's document has it."""
    return {"name": name, "in": "query", "required": False, "schema": schema}


def page(
    request: Request,
    items: Sequence[Item],
    id_of: Callable[[Item], str],
    *,
    limit: int,
    most: int,
    order: Order = "desc",
) -> tuple[list[Item], bool]:
    """One page of `items`, which come newest first, and whether there are more behind it.

    limit, order: where the query names none. Raises InvalidRequest, or NotFound for an unknown
    `after`.
    """
    query = request.query_params
    found = list(items)
    asked = query.get("order", order)
    if asked not in {"asc", "desc"}:
        message = "order must be 'asc' or 'desc'."
        raise InvalidRequest(message, param="order", code="invalid_value")
    if asked == "asc":
        found.reverse()
    after = query.get("after")
    if after is not None:
        ids = [id_of(item) for item in found]
        if after not in ids:
            message = f"There is no {after[:60]!r} in this list."
            raise NotFound(message, param="after", code="invalid_value")
        found = found[ids.index(after) + 1 :]
    count = asked_limit(request, limit, most)
    return found[:count], len(found) > count


def asked_limit(request: Request, default: int, most: int) -> int:
    """How many a page is to have. Raises InvalidRequest."""
    given = request.query_params.get("limit")
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= most):
        message = f"limit must be a number from 1 to {most}."
        raise InvalidRequest(message, param="limit", code="invalid_value")
    return int(given)

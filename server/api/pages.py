"""Lists by pages, as OpenAI's clients turn them: `after` an id, so many of them, in an order."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from fastapi import Request

from server.errors import InvalidRequest, NotFound

Item = TypeVar("Item")


def page(
    request: Request,
    items: Sequence[Item],
    id_of: Callable[[Item], str],
    *,
    limit: int,
    most: int,
    order: str = "desc",
) -> tuple[list[Item], bool]:
    """One page of `items`, which come newest first, and whether there are more behind it.

    limit, order: where the query names none. Raises InvalidRequest, or NotFound for an unknown
    `after`.
    """
    query = request.query_params
    found = list(items)
    order = query.get("order", order)
    if order not in {"asc", "desc"}:
        message = "order must be 'asc' or 'desc'."
        raise InvalidRequest(message, param="order", code="invalid_value")
    if order == "asc":
        found.reverse()
    after = query.get("after")
    if after is not None:
        ids = [id_of(item) for item in found]
        if after not in ids:
            message = f"There is no {after[:60]!r} in this list."
            raise NotFound(message, param="after", code="invalid_value")
        found = found[ids.index(after) + 1 :]
    count = _limit(query.get("limit"), limit, most)
    return found[:count], len(found) > count


def _limit(given: str | None, default: int, most: int) -> int:
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= most):
        message = f"limit must be a number from 1 to {most}."
        raise InvalidRequest(message, param="limit", code="invalid_value")
    return int(given)

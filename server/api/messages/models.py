"""Models as Anthropic's SDK types them."""

from collections.abc import Sequence
from typing import Literal

from fastapi import Request

from server.api.outgoing import ClosedModel
from server.api.pages import asked_limit
from server.errors import InvalidRequest

_CURSORS = ("after_id", "before_id")


class AnthropicModel(ClosedModel):
    """A model; max_input_tokens is null where there is no limit.

    What is always null has no meaning for a model that one serves oneself.
    """

    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"] = "active"
    max_input_tokens: int | None
    max_tokens: None = None
    capabilities: None = None
    line: None = None
    deprecated_at: None = None
    retires_at: None = None


class AnthropicModelList(ClosedModel):
    """A page of models."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


def anthropic_page(request: Request, models: Sequence[AnthropicModel]) -> AnthropicModelList:
    """The models behind `after_id`, or the last ones before `before_id`. Raises InvalidRequest."""
    count = asked_limit(request, 20, 1000)
    given = {name: id for name in _CURSORS if (id := request.query_params.get(name)) is not None}
    if len(given) > 1:
        raise InvalidRequest("after_id and before_id exclude each other; leave one out.")
    found, more = models[:count], len(models) > count
    for name, id in given.items():
        place = next((n for n, model in enumerate(models) if model.id == id), None)
        if place is None:
            message = f"{name}: there is no model {id[:60]!r}."
            raise InvalidRequest(message, param=name, code="invalid_value")
        if name == "after_id":
            found, more = models[place + 1 : place + 1 + count], place + 1 + count < len(models)
        else:
            found, more = models[max(place - count, 0) : place], place > count
    return AnthropicModelList(
        data=list(found),
        has_more=more,
        first_id=found[0].id if found else None,
        last_id=found[-1].id if found else None,
    )

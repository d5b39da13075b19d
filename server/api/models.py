"""GET /v1/models and /v1/models/{id}, for OpenAI's clients and for Anthropic's."""

from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, Request

from server.api.context import Context, Served
from server.api.dialects import speaks_anthropic
from server.api.errors import ErrorBody
from server.api.messages.answer import AnthropicErrorBody
from server.api.messages.models import AnthropicModel, AnthropicModelList, anthropic_page
from server.api.outgoing import ClosedModel
from server.api.pages import queried
from server.chat.catalogue import Offer

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelDetails(ClosedModel):
    """What is served; context_length is null where there is no limit, as for the model itself.

    loaded: it answers without being loaded first. adapter: its kind, for what was made from the
    model `base`; both are null for a model by itself.
    """

    architecture: str
    parameters: int
    layers: int
    width: int
    vocab_size: int
    dtype: str
    tokenizer: str
    template: str
    context_length: int | None
    loaded: bool
    adapter: str | None
    base: str | None


class ServedModelEntry(ClosedModel):
    """A model as the OpenAI SDK types it, with `metadata` beside."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "rwkv-server"
    metadata: ModelDetails


class ModelList(ClosedModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ServedModelEntry]


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody | AnthropicErrorBody} for status in ("4XX", "5XX")
}
_VERSION: dict[str, Any] = {
    "name": "anthropic-version",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
}
_PAGED = [
    queried("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20}),
    queried("after_id", {"type": "string"}),
    queried("before_id", {"type": "string"}),
]


@router.get("", responses=_ERRORS, openapi_extra={"parameters": [_VERSION, *_PAGED]})
async def list_models(request: Request, context: Served) -> ModelList | AnthropicModelList:
    """The models that can be asked for; with anthropic-version in Anthropic's form, by pages."""
    offers = context.catalogue.offers
    if speaks_anthropic(request.scope):
        return anthropic_page(request, [_anthropic(context, offer) for offer in offers])
    return ModelList(data=[_entry(context, offer) for offer in offers])


@router.get("/{model:path}", responses=_ERRORS, openapi_extra={"parameters": [_VERSION]})
async def retrieve_model(
    model: str, request: Request, context: Served
) -> ServedModelEntry | AnthropicModel:
    """One model."""
    offer = context.catalogue.offer(model)
    if speaks_anthropic(request.scope):
        return _anthropic(context, offer)
    return _entry(context, offer)


def _anthropic(context: Context, offer: Offer) -> AnthropicModel:
    created = datetime.fromtimestamp(context.catalogue.created, UTC)
    return AnthropicModel(
        id=offer.model.id,
        display_name=offer.model.id,
        created_at=created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        max_input_tokens=context.max_prompt_tokens or None,
    )


def _entry(context: Context, offer: Offer) -> ServedModelEntry:
    model, catalogue = offer.model, context.catalogue
    spec = model.spec
    details = ModelDetails(
        architecture=f"rwkv-{spec.generation}",
        parameters=spec.parameters,
        layers=spec.layers,
        width=spec.width,
        vocab_size=spec.vocab_size,
        dtype=model.dtype,
        tokenizer=model.tokenizer.name,
        template=model.template.name,
        context_length=context.max_prompt_tokens or None,
        loaded=catalogue.loaded(offer),
        adapter=offer.adapter,
        base=offer.base,
    )
    return ServedModelEntry(id=model.id, created=catalogue.created, metadata=details)

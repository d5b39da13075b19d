"""GET /v1/models and /v1/models/{id}."""

from typing import Literal

from fastapi import APIRouter

from server.api.context import Context, Served
from server.api.outgoing import ClosedModel
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


@router.get("")
async def list_models(context: Served) -> ModelList:
    """The models that can be asked for."""
    return ModelList(data=[_entry(context, offer) for offer in context.catalogue.offers])


@router.get("/{model:path}")
async def retrieve_model(model: str, context: Served) -> ServedModelEntry:
    """One model."""
    return _entry(context, context.catalogue.offer(model))


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

"""GET /v1/models and /v1/models/{id}."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from server.api.chat import unknown_model
from server.api.context import Context, Served

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelDetails(BaseModel):
    """What is served; context_length is null where there is no limit, as for the model itself."""

    architecture: str
    parameters: int
    layers: int
    width: int
    vocab_size: int
    dtype: str
    tokenizer: str
    template: str
    context_length: int | None


class ServedModelEntry(BaseModel):
    """A model as the OpenAI SDK types it, with `metadata` beside."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "rwkv-server"
    metadata: ModelDetails


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ServedModelEntry]


@router.get("")
async def list_models(context: Served) -> ModelList:
    """The models that answer."""
    return ModelList(data=[_entry(context)])


@router.get("/{model:path}")
async def retrieve_model(model: str, context: Served) -> ServedModelEntry:
    """One model."""
    if model != context.service.model.id:
        raise unknown_model(model, context.service.model.id)
    return _entry(context)


def _entry(context: Context) -> ServedModelEntry:
    model = context.service.model
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
    )
    return ServedModelEntry(id=model.id, created=context.service.created, metadata=details)

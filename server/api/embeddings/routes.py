"""POST /v1/embeddings."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from typing import Literal

import numpy as np
from fastapi import APIRouter, Request, Response

from server.api.answers import answer_whole, find_service
from server.api.context import Served
from server.api.embeddings.request import EmbeddingBody, embedding_request
from server.api.outgoing import ClosedModel
from server.api.priority import priority_of
from server.api.strict_json import JsonRoute
from server.chat.embedding import Embedded

router = APIRouter(route_class=JsonRoute, tags=["embeddings"])


class Vector(ClosedModel):
    """Of one input: numbers, or as base64 their float32 in little-endian order."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(ClosedModel):
    """Tokens of all inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(ClosedModel):
    """The vectors of all inputs, in their order."""

    object: Literal["list"] = "list"
    data: list[Vector]
    model: str
    usage: EmbeddingUsage


@router.post("/v1/embeddings", response_model=EmbeddingList)
async def create_embeddings(body: EmbeddingBody, request: Request, context: Served) -> Response:
    """Texts as vectors, whose inner products say how alike the texts are."""
    service = await find_service(context, body.model)
    model = service.model
    asked = embedding_request(
        body,
        caller=request.state.caller,
        vocab_size=model.spec.vocab_size,
        priority=priority_of(request, body.priority),
    )
    turn = await service.embeddings.start(asked)
    whole = _collected(turn.events())
    vectors = await answer_whole(request, turn, context.request_timeout_s, whole)
    usage = EmbeddingUsage(prompt_tokens=turn.prompt_tokens, total_tokens=turn.prompt_tokens)
    return await asyncio.to_thread(_written, body, vectors, model.id, usage)


async def _collected(events: AsyncIterator[Embedded]) -> dict[int, bytes]:
    return {event.number: event.vector async for event in events}


def _written(
    body: EmbeddingBody, vectors: Mapping[int, bytes], model: str, usage: EmbeddingUsage
) -> Response:
    data = [
        Vector(index=number, embedding=_vector(body, vectors[number])) for number in sorted(vectors)
    ]
    answer = EmbeddingList(data=data, model=model, usage=usage)
    return Response(answer.model_dump_json(), media_type="application/json")


def _vector(body: EmbeddingBody, data: bytes) -> list[float] | str:
    vector = np.frombuffer(data, "<f4")[: body.dimensions]
    length = float(np.linalg.norm(vector))
    shortened = vector / np.float32(length) if length else vector
    if body.encoding_format == "base64":
        return base64.b64encode(shortened.astype("<f4").tobytes()).decode("ascii")
    return [float(number) for number in shortened]

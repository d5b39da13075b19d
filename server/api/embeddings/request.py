"""The body of POST /v1/embeddings, field by field, as server/api/chat/request.py has them."""

from typing import Annotated, Any, Literal

from pydantic import Field

from models.embedding import DIMENSIONS
from server.api.fields import INTEGRAL, Refused, Wire
from server.api.priority import Priority
from server.api.prompts import Prompt, prompts
from server.chat.embedding import EmbeddingRequest
from server.errors import InvalidRequest


class HonouredEmbeddingFields(Wire):
    """Fields that do what they say; null stands for the default of each."""

    model: str
    input: Prompt
    encoding_format: Literal["float", "base64"] | None = None
    priority: Priority | None = None
    dimensions: Annotated[int, Field(ge=1, le=DIMENSIONS), INTEGRAL] | None = None


class MeaninglessEmbeddingFields(Wire):
    """Fields that clients send and that change nothing here; their types are checked."""

    user: str | None = None


class RefusedEmbeddingFields(Wire):
    """Fields that would change the vectors and cannot be honoured, beside their neutral values."""

    truncate_prompt_tokens: Annotated[Any, Refused()] = None
    embed_dtype: Annotated[Any, Refused(neutral=("float32",))] = None
    normalize: Annotated[Any, Refused(neutral=(True,))] = None
    messages: Annotated[Any, Refused()] = None


class EmbeddingBody(RefusedEmbeddingFields, MeaninglessEmbeddingFields, HonouredEmbeddingFields):
    """Texts that are wanted as vectors."""


def embedding_request(
    body: EmbeddingBody, *, caller: str, vocab_size: int, priority: int = 0
) -> EmbeddingRequest:
    """What the service is asked. Raises InvalidRequest for ids outside the vocabulary."""
    inputs = prompts(body.input, "input", vocab_size)
    for number, given in enumerate(inputs):
        if not given:
            param = f"input.{number}" if len(inputs) > 1 else "input"
            raise InvalidRequest(f"{param} is empty", param=param, code="invalid_value")
    return EmbeddingRequest(caller=caller, inputs=inputs, priority=priority)

"""Every field of the official SDKs' requests is documented, and is taken, or refused by name."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import MessageCountTokensParams
from anthropic.types import message_create_params as message_params
from anthropic.types.beta import MessageCountTokensParams as BetaMessageCountTokensParams
from anthropic.types.beta import message_create_params as beta_params
from openai.types import BatchCreateParams, EmbeddingCreateParams, FileCreateParams
from openai.types import completion_create_params as text_params
from openai.types.chat import completion_create_params as chat_params
from openai.types.conversations import ConversationCreateParams
from openai.types.conversations.item_create_params import ItemCreateParams
from openai.types.responses import InputTokenCountParams
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import BaseModel

from server.api.batches import BatchBody
from server.api.chat.request import ChatCompletionRequest
from server.api.completions.request import CompletionBody
from server.api.conversations.routes import ConversationBody, ItemsBody
from server.api.embeddings.request import EmbeddingBody
from server.api.messages.request import CountTokensBody, MessagesBody
from server.api.responses.request import InputTokensBody, ResponseBody
from tests.server.api.document import DOCUMENT
from tests.server.api.doubles import Api
from tests.server.api.official import Place, fields, places

DOCS = Path(__file__).parents[3] / "docs"
HEADERS = {"betas"}  # which the SDK takes as a parameter
IN_PATH = {"conversation_id"}


@dataclass(frozen=True, slots=True)
class Request:
    """An address, what the SDK types of its body and what we know of it, and where that is said."""

    address: str
    official: Any
    model: type[BaseModel]
    page: str = "api.md"

    @property
    def places(self) -> list[Place]:
        return list(places(self.official, self.model))


CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
COUNT, CONVERSATIONS = f"{MESSAGES}/count_tokens", "/v1/conversations"
REQUESTS = {
    "chat": Request(CHAT, chat_params.CompletionCreateParamsStreaming, ChatCompletionRequest),
    "text": Request("/v1/completions", text_params.CompletionCreateParamsStreaming, CompletionBody),
    "embeddings": Request("/v1/embeddings", EmbeddingCreateParams, EmbeddingBody),
    "batch": Request("/v1/batches", BatchCreateParams, BatchBody),
    "response": Request(RESPONSES, ResponseCreateParamsStreaming, ResponseBody, "api/responses.md"),
    "input tokens": Request(
        f"{RESPONSES}/input_tokens", InputTokenCountParams, InputTokensBody, "api/responses.md"
    ),
    "conversation": Request(
        CONVERSATIONS, ConversationCreateParams, ConversationBody, "api/responses.md"
    ),
    "items": Request(
        f"{CONVERSATIONS}/conv_x/items", ItemCreateParams, ItemsBody, "api/responses.md"
    ),
    "message": Request(
        MESSAGES, message_params.MessageCreateParamsStreaming, MessagesBody, "api/messages.md"
    ),
    "beta message": Request(
        MESSAGES, beta_params.MessageCreateParamsStreaming, MessagesBody, "api/messages.md"
    ),
    "count": Request(COUNT, MessageCountTokensParams, CountTokensBody, "api/messages.md"),
    "beta count": Request(COUNT, BetaMessageCountTokensParams, CountTokensBody, "api/messages.md"),
}
ALL = pytest.mark.parametrize("asked", REQUESTS.values(), ids=REQUESTS.keys())


def named(page: str) -> set[str]:
    """The words in what a page has as code."""
    text = re.sub(r"```.*?```", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.S)
    return {word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", code)}


@ALL
def test_no_field_is_ignored(asked: Request) -> None:
    ignored = {place.param for place in asked.places if place.fate == "ignored"}
    assert ignored <= HEADERS | IN_PATH


@ALL
def test_every_field_is_documented(asked: Request) -> None:
    names = {place.field for place in asked.places if place.field is not None}
    assert names - named(asked.page) <= HEADERS | IN_PATH


@ALL
async def test_what_is_refused_is_named(asked: Request, api: Api) -> None:
    for place in asked.places:
        if place.fate == "refused":
            response = await api.client.post(asked.address, json=place.body)
            assert response.status_code == 400, place
            message: str = response.json()["error"]["message"]
            assert re.match(rf"{re.escape(place.param)}[.:\s]", message), (place, message)


def test_every_field_of_a_file_is_taken() -> None:
    form = DOCUMENT["paths"]["/v1/files"]["post"]["requestBody"]["content"]["multipart/form-data"]
    flat = set[str]()
    for name, kind in fields(FileCreateParams).items():
        inner = fields(kind) if name == "expires_after" else ()
        flat |= {f"{name}[{key}]" for key in inner} or {name}
    assert flat == set(form["schema"]["properties"])

"""docs/api.md against the code: every address, field, class of fields and error code."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from server.api.batches import BatchBody
from server.api.chat.request import (
    ChatMessage,
    HonouredFields,
    MeaninglessFields,
    RefusedFields,
)
from server.api.completions.request import (
    HonouredCompletionFields,
    MeaninglessCompletionFields,
    RefusedCompletionFields,
)
from server.api.constraint import ConstraintFields
from server.api.embeddings.request import (
    HonouredEmbeddingFields,
    MeaninglessEmbeddingFields,
    RefusedEmbeddingFields,
)
from server.api.messages.request import (
    HonouredMessagesFields,
    MeaninglessMessagesFields,
    RefusedMessagesFields,
)
from server.api.responses.request import (
    HonouredResponseFields,
    MeaninglessResponseFields,
    RefusedResponseFields,
)
from server.api.sampling import SamplingFields
from server.api.tokenizer.request import DetokenizeBody, TokenizeBody
from server.api.tokenizer.routes import TokenizerInfo
from tests.server.api.doubles import Api

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
RESPONSES = (ROOT / "docs" / "api" / "responses.md").read_text(encoding="utf-8")
MESSAGES = (ROOT / "docs" / "api" / "messages.md").read_text(encoding="utf-8")


def table_names(begin: str, end: str, text: str = TEXT) -> list[str]:
    """The names in the first columns of the tables between two lines."""
    section = text.partition(f"\n{begin}")[2].partition(f"\n{end}")[0]
    cells = re.findall(r"^\|([^|]*)\|", section, re.M)
    return [name for cell in cells for name in re.findall(r"`([^`]*)`", cell)]


@pytest.mark.parametrize(
    ("fields", "begin", "end"),
    [
        (HonouredFields, "### Honoured", "A **message**"),
        (MeaninglessFields, "### Accepted without meaning", "### Refused"),
        (RefusedFields, "### Refused", "### The answer"),
        (ChatMessage, "A **message**", "Other keys of a message"),
        (MeaninglessCompletionFields, "Without meaning", "Refused"),
        (RefusedCompletionFields, "Refused as", "### The completion"),
        (HonouredEmbeddingFields, "### The inputs", "Not in a vector's way"),
        (MeaninglessEmbeddingFields, "Not in a vector's way", "Refused, unless"),
        (RefusedEmbeddingFields, "Refused, unless", "### The vectors"),
        (BatchBody, "## Batches", "First the whole file"),
        (TokenizeBody, "### `POST /tokenize`", "### `POST /detokenize`"),
        (DetokenizeBody, "### `POST /detokenize`", "### `GET /tokenizer_info`"),
        (TokenizerInfo, "### `GET /tokenizer_info`", "## Models"),
    ],
)
def test_every_field_is_in_its_table_and_no_other(
    fields: type[BaseModel], begin: str, end: str
) -> None:
    assert sorted(table_names(begin, end)) == sorted(fields.model_fields)


@pytest.mark.parametrize(
    ("fields", "text", "begin", "end"),
    [
        (HonouredResponseFields, RESPONSES, "### Honoured by", "### Accepted"),
        (MeaninglessResponseFields, RESPONSES, "### Accepted by", "### Refused"),
        (RefusedResponseFields, RESPONSES, "### Refused by", "### Items"),
        (HonouredMessagesFields, MESSAGES, "### Honoured by", "A message has"),
        (MeaninglessMessagesFields, MESSAGES, "### Accepted by", "### Refused"),
        (RefusedMessagesFields, MESSAGES, "### Refused by", "### The message"),
    ],
)
def test_every_field_is_in_its_table_on_its_page(
    fields: type[BaseModel], text: str, begin: str, end: str
) -> None:
    assert sorted(table_names(begin, end, text)) == sorted(fields.model_fields)


def test_every_field_of_a_completion_is_in_its_table_or_works_as_in_a_chat() -> None:
    shared = {*SamplingFields.model_fields, *ConstraintFields.model_fields}
    own = set(HonouredCompletionFields.model_fields) - shared
    assert sorted(table_names("### The request", "Without meaning")) == sorted(own)


def test_every_address_is_documented(api: Api) -> None:
    documented = set(table_names("## Addresses", "## Keys"))
    served = {
        f"{method.upper()} {path}"
        for path, methods in api.app.openapi()["paths"].items()
        for method in methods
    }
    assert documented == served | {"GET /openapi.json", "GET /docs"}


def test_every_error_code_in_the_code_is_documented() -> None:
    source = "".join(path.read_text() for path in (ROOT / "server").glob("**/*.py"))
    codes = set(re.findall(r'\bcode ?= ?"(\w+)"', source))
    assert "invalid_api_key" in codes
    assert {code for code in codes if f"`{code}`" not in TEXT} == set()

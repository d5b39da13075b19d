"""Prompts in OpenAI's four forms: a text, texts, ids, or lists of ids."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from server.api.fields import ListOf, Whole
from server.api.sampling import check_ids

_PROMPTS = 2048

Ids = Annotated[ListOf[Whole], Field(min_length=1)]


def _form(prompt: Any) -> str:
    """Which form of a prompt is meant, by its first part, so that a fault is told of that form."""
    if not isinstance(prompt, list):
        return "text"
    first = prompt[0] if prompt else None
    return "texts" if isinstance(first, str) else "lists" if isinstance(first, list) else "ids"


Prompt = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[ListOf[str], Field(max_length=_PROMPTS), Tag("texts")]
    | Annotated[Ids, Tag("ids")]
    | Annotated[ListOf[Ids], Field(max_length=_PROMPTS), Tag("lists")],
    Discriminator(_form),
]


def prompts(prompt: Prompt, param: str, vocab_size: int) -> tuple[str | tuple[int, ...], ...]:
    """One by one. Raises InvalidRequest for ids outside the vocabulary, naming `param`."""
    if isinstance(prompt, str):
        return (prompt,)
    found: list[str | tuple[int, ...]] = []
    ids: list[int] = []
    given: list[str | int | list[int]] = [*prompt]
    for number, item in enumerate(given):
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, int):
            ids.append(item)
        else:
            check_ids(item, f"{param}.{number}", vocab_size)
            found.append(tuple(item))
    check_ids(ids, param, vocab_size)
    return (*found, *([tuple(ids)] if ids else []))

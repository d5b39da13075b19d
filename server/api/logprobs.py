"""How likely tokens were, in the two forms OpenAI has for it.

A token's text is given as `bytes:\\xNN…` where its bytes are no characters by themselves, and as
`token_id:N` where it has none at all. An id of padding has the probability 0, whose logarithm
JSON cannot write: it is given as -9999.
"""

import math
from collections.abc import Iterable

from server.api.outgoing import ClosedModel
from server.chat.tokens import TextToken, TokenBytes

_NEVER = -9999.0


class Likelihood(ClosedModel):
    """A token, and the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int]


class ContentToken(Likelihood):
    """A token of a message, beside the likeliest ones at its place."""

    top_logprobs: list[Likelihood]


class ChatLogprobs(ClosedModel):
    """Of a message's content; the bytes of its tokens, joined, are the content's."""

    content: list[ContentToken]
    refusal: None = None


class TextLogprobs(ClosedModel):
    """Of a text, in the legacy form: lists with an entry for every token.

    null where nothing precedes a token. top_logprobs always holds the token itself too.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


def chat_logprobs(tokens: Iterable[TextToken], token_bytes: TokenBytes) -> ChatLogprobs:
    """Of tokens whose likelihoods were asked for."""
    return ChatLogprobs(content=[_content_token(token, token_bytes) for token in tokens])


def _content_token(token: TextToken, token_bytes: TokenBytes) -> ContentToken:
    found = token.logprob
    top = found.top if found is not None else ()
    chosen = _likelihood(token.id, token.data, found.logprob if found is not None else -math.inf)
    return ContentToken(
        **dict(chosen),
        top_logprobs=[_likelihood(id, token_bytes(id), logprob) for id, logprob in top],
    )


def _likelihood(id: int, data: bytes, logprob: float) -> Likelihood:
    return Likelihood(token=token_text(id, data), logprob=_finite(logprob), bytes=list(data))


def text_logprobs(tokens: Iterable[TextToken], token_bytes: TokenBytes) -> TextLogprobs:
    """Of tokens whose likelihoods were asked for."""
    tokens = list(tokens)
    found = [token.logprob for token in tokens]
    return TextLogprobs(
        tokens=[token_text(token.id, token.data) for token in tokens],
        token_logprobs=[None if one is None else _finite(one.logprob) for one in found],
        top_logprobs=[_top(token, token_bytes) for token in tokens],
        text_offset=[token.offset for token in tokens],
    )


def _top(token: TextToken, token_bytes: TokenBytes) -> dict[str, float] | None:
    if token.logprob is None:
        return None
    top: dict[str, float] = {}
    for id, logprob in token.logprob.top:  # of two ids with the same bytes the likelier
        top.setdefault(token_text(id, token_bytes(id)), _finite(logprob))
    top.setdefault(token_text(token.id, token.data), _finite(token.logprob.logprob))
    return top


def token_text(id: int, data: bytes) -> str:
    """A token as a string that no other token has."""
    if not data:
        return f"token_id:{id}"
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _finite(logprob: float) -> float:
    return max(logprob, _NEVER)

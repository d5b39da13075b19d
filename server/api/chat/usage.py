"""The tokens of a turn, as chats and completions tell them."""

from collections.abc import Iterable
from typing import Protocol

from server.api.outgoing import ClosedModel
from server.chat.types import ChoiceEnd


class PromptDetails(ClosedModel):
    """cached_tokens came with a kept state and were not computed again."""

    cached_tokens: int
    audio_tokens: int = 0


class CompletionDetails(ClosedModel):
    """reasoning_tokens of the tokens are thoughts; nothing else that is counted here exists."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Usage(ClosedModel):
    """The prompt is counted once, completion tokens over all choices."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Counted(Protocol):
    """A prompt's tokens, and those of them that came with a kept state."""

    prompt_tokens: int
    cached_tokens: int


def usage(turn: Counted, ends: Iterable[ChoiceEnd]) -> Usage:
    """What a turn has used for the choices that have ended."""
    ends = list(ends)
    completion_tokens = sum(end.tokens for end in ends)
    return Usage(
        prompt_tokens=turn.prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=turn.prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=turn.cached_tokens),
        completion_tokens_details=CompletionDetails(
            reasoning_tokens=sum(end.reasoning_tokens for end in ends)
        ),
    )

"""What a request and a template say about sampling, put together."""

from collections.abc import Iterator

from models.tokenizer import Tokenizer, TokenizerError
from server.chance import fresh_number
from server.chat.types import SamplingOptions
from server.engine.messages import Sampling
from server.errors import InvalidRequest


def resolve(
    options: SamplingOptions, defaults: SamplingOptions, tokenizer: Tokenizer, max_tokens: int
) -> Sampling:
    """What the request says, else what the template says, else neutral; a seed if none.

    Raises InvalidRequest for what leaves no answer.
    """

    def chosen(name: str, neutral: float) -> float:
        value = getattr(options, name)
        default = getattr(defaults, name)
        return value if value is not None else default if default is not None else neutral

    bad_words = tuple(_bad_words(options.bad_words, tokenizer))
    _check_allowed(options.allowed_ids, bad_words, tokenizer)
    _check_least(options.min_tokens, max_tokens)
    return Sampling(
        temperature=chosen("temperature", 1.0),
        top_p=chosen("top_p", 1.0),
        top_k=int(chosen("top_k", 0)),
        min_p=chosen("min_p", 0.0),
        typical_p=chosen("typical_p", 1.0),
        presence_penalty=chosen("presence_penalty", 0.0),
        frequency_penalty=chosen("frequency_penalty", 0.0),
        repetition_penalty=chosen("repetition_penalty", 1.0),
        penalty_decay=chosen("penalty_decay", 1.0),
        logit_bias=options.logit_bias,
        min_tokens=options.min_tokens,
        bad_words=bad_words,
        allowed_ids=options.allowed_ids,
        seed=options.seed if options.seed is not None else fresh_number(63),
    )


def _bad_words(words: tuple[str, ...], tokenizer: Tokenizer) -> Iterator[tuple[int, ...]]:
    """The ids of each word, and those of it behind a space."""
    for number, word in enumerate(words):
        for text in dict.fromkeys((word, word if word.startswith(" ") else f" {word}")):
            try:
                yield tuple(tokenizer.encode(text))
            except TokenizerError as error:
                param = f"bad_words.{number}"
                message = f"{param} cannot be tokenised: {error}"
                raise InvalidRequest(message, param=param) from error


def _check_allowed(
    allowed: tuple[int, ...] | None, bad_words: tuple[tuple[int, ...], ...], tokenizer: Tokenizer
) -> None:
    if allowed is None:
        return
    bad = {word[0] for word in bad_words if len(word) == 1}
    padding = tokenizer.padding_ids(max(allowed) + 1)
    if not set(allowed) - bad - set(padding):
        raise InvalidRequest(
            "allowed_token_ids names only ids that are padding or bad_words; allow others too",
            param="allowed_token_ids",
            code="invalid_value",
        )


def _check_least(min_tokens: int, max_tokens: int) -> None:
    if min_tokens > max_tokens:
        raise InvalidRequest(
            f"min_tokens is {min_tokens}, and the answer has at most {max_tokens} tokens",
            param="min_tokens",
            code="invalid_value",
        )

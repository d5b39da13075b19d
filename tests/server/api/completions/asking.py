"""What tests of raw completions ask, and how they read what comes back."""

from typing import Any

from openai import OpenAI

PROMPT = "Hello, the user said é🙂"
IDS = [41, 70, 304, 292, 83, 70, 222]
CAPACITY = 4 + 4  # slots and queue
KEYS = ["key", "other"]


def ask(client: OpenAI, prompt: Any = PROMPT, *, beside: Any = None, **fields: Any) -> Any:
    """`beside`: parameters that are not OpenAI's."""
    arguments = {"model": "tiny", "max_tokens": 8, "seed": 1, **fields}
    if beside is not None:
        arguments["extra_body"] = beside
    return client.completions.create(prompt=prompt, **arguments)


def collected(stream: Any) -> tuple[dict[int, dict[str, Any]], Any]:
    """What a stream says of each choice, put together, and its usage."""
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            found = choices.setdefault(choice.index, {"text": "", "ids": [], "logprobs": []})
            found["text"] += choice.text
            found["reason"] = choice.finish_reason
            found["ids"] += getattr(choice, "token_ids", None) or []
            if choice.logprobs is not None:
                found["logprobs"] += listed(choice.logprobs)
    return choices, usage


def listed(logprobs: Any) -> list[tuple]:
    """An entry for every token."""
    columns = (logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs)
    return list(zip(*columns, logprobs.text_offset, strict=True))


def joined(tokens: list[str]) -> bytes:
    """The bytes of tokens in their written form."""
    return b"".join(
        bytes.fromhex(token.removeprefix("bytes:").replace("\\x", ""))
        if token.startswith("bytes:")
        else b""
        if token.startswith("token_id:")
        else token.encode()
        for token in tokens
    )

"""Anthropic's SDK: whole, streamed, with a history, and counted."""

import json
import sys

from anthropic import Anthropic

client = Anthropic(base_url=sys.argv[1].removesuffix("/v1"), api_key="none", max_retries=0)
question = [{"role": "user", "content": "My name is Orla."}]
ask = {"model": "gosling", "max_tokens": 100, "extra_body": {"temperature": 0}}
whole = client.messages.create(messages=question, **ask)
with client.messages.stream(messages=question, **ask) as stream:
    streamed = "".join(stream.text_stream)
history = [
    *question,
    {"role": "assistant", "content": whole.content},
    {"role": "user", "content": "What is my name?"},
]
later = client.messages.create(messages=history, **ask)
print(
    json.dumps(
        {
            "whole": whole.content[0].text,
            "stop_reason": whole.stop_reason,
            "streamed": streamed,
            "later": later.content[0].text,
            "cached": later.usage.cache_read_input_tokens,
            "counted": client.messages.count_tokens(model="gosling", messages=question).input_tokens
            - whole.usage.input_tokens
            - (whole.usage.cache_read_input_tokens or 0)
            - (whole.usage.cache_creation_input_tokens or 0),
        }
    )
)

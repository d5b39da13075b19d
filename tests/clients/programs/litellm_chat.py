"""LiteLLM's completion(): whole and streamed, by its provider for OpenAI-compatible servers."""

import json
import sys

import litellm

ask = {
    "model": "openai/gosling",
    "api_base": sys.argv[1],
    "api_key": "none",
    "temperature": 0,
    "messages": [{"role": "user", "content": "What is 17 + 25?"}],
}
whole = litellm.completion(**ask)
chunks = list(litellm.completion(**ask, stream=True, stream_options={"include_usage": True}))
built = litellm.stream_chunk_builder(chunks)
print(
    json.dumps(
        {
            "whole": whole.choices[0].message.content,
            "finish_reason": whole.choices[0].finish_reason,
            "streamed": built.choices[0].message.content,
            "usage": [whole.usage.total_tokens, built.usage.total_tokens],
        }
    )
)

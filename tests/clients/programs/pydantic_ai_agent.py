"""pydantic-ai: an agent that answers in text, and one that calls a tool."""

import json
import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=sys.argv[1], api_key="none")
model = OpenAIChatModel("gosling", provider=provider)
settings = {"temperature": 0}
plain = Agent(model, model_settings=settings)
first = plain.run_sync("My name is Orla.")
later = plain.run_sync("What is my name?", message_history=first.all_messages())

asked: list[str] = []
weather = Agent(model, model_settings=settings)


@weather.tool_plain
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    asked.append(city)
    return json.dumps({"weather": "sunny"})


told = weather.run_sync("What is the weather in Lisbon?")
print(
    json.dumps(
        {
            "first": first.output,
            "later": later.output,
            "cached": later.usage.cache_read_tokens,
            "asked": asked,
            "told": told.output,
        }
    )
)

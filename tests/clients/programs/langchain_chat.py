"""LangChain's ChatOpenAI: whole, streamed, with its usage, and with a history."""

import json
import sys

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

url = sys.argv[1]
model = ChatOpenAI(model="gosling", base_url=url, api_key="none", temperature=0, stream_usage=True)
question = [SystemMessage("Be brief."), HumanMessage("My name is Orla.")]
whole = model.invoke(question)
pieces = list(model.stream(question))
history = [*question, AIMessage(whole.content), HumanMessage("What is my name?")]
later = model.invoke(history)
both = model.batch([[HumanMessage("What is 2 + 3?")], [HumanMessage("What is 4 + 5?")]])
print(
    json.dumps(
        {
            "whole": whole.content,
            "finish_reason": whole.response_metadata["finish_reason"],
            "streamed": "".join(piece.content for piece in pieces),
            "usage": pieces[-1].usage_metadata or pieces[-2].usage_metadata,
            "later": later.content,
            "cached": later.usage_metadata["input_token_details"]["cache_read"],
            "batch": [answer.content for answer in both],
        }
    )
)

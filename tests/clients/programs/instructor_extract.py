"""instructor: a pydantic object out of an answer, by a JSON schema and by a tool."""

import json
import sys

import instructor
from openai import OpenAI
from pydantic import BaseModel, Field


class Person(BaseModel):
    """A person."""

    name: str = Field(min_length=1, max_length=20)
    age: int = Field(ge=0, le=150)


client = OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
found = {}
for mode in (instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS):
    person = instructor.from_openai(client, mode=mode).chat.completions.create(
        model="gosling",
        temperature=0,
        response_model=Person,
        max_retries=1,
        messages=[{"role": "user", "content": "Mira is 31 years old."}],
    )
    found[mode.value] = person.model_dump()
print(json.dumps(found))

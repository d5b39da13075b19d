"""What answers leave open: a list of places, so that another one is noticed."""

from tests.server.api.document import Schema, objects_of_answers

SAYS = {"$ref", "type", "anyOf", "oneOf", "allOf", "enum", "const"}
METADATA = {
    f"{one}.metadata"
    for one in ("ChatCompletion", "ChatCompletionWithIds", "Response", "BatchEntry")
} | {"Conversation.metadata", "Continuation.metadata"}
JSON_SCHEMAS = {"ToldFunction.parameters", "ToldObjectFormat.schema", "ToldSchemaFormat.schema"}
ARGUMENTS = {"ToldToolUse.input"}
BY_TOKEN = {"TextLogprobs.top_logprobs"}


def is_open(schema: Schema) -> bool:
    if not SAYS & schema.keys():
        return True
    if schema.get("type") == "array":
        return "items" not in schema or (schema["items"] == {} and schema.get("maxItems") != 0)
    return schema.get("type") == "object" and schema.get("additionalProperties") is not False


def test_only_what_callers_make_up_is_open() -> None:
    found = {place for place, schema in objects_of_answers() if is_open(schema)}
    # Of a list that has to be empty, nothing is said of what would be in it.
    found -= {"AnswerMessage.annotations", "OutputText.annotations"}
    found -= {"BegunMessage.content", "ToldThoughts.summary", "DoneThoughts.summary"}
    found -= {"OpenAnswer.content", "OpenThoughts.summary", "OpenThoughts.content"}
    assert found == METADATA | JSON_SCHEMAS | ARGUMENTS | BY_TOKEN

"""Types of what goes out: closed objects, and JSON that is documented and not looked at again."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class ClosedModel(BaseModel):
    """An object that has all of these keys and no others."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


def _is_none(value: Any) -> bool:
    return value is None


def _without_null(schema: dict[str, Any]) -> None:
    schema.pop("default", None)
    branches = [one for one in schema.pop("anyOf", ()) if one != {"type": "null"}]
    schema |= branches[0] if len(branches) == 1 else {"anyOf": branches} if branches else {}


# Of a key that need not be there.
OPTIONAL = Field(exclude_if=_is_none)
# Of one that is left out where it has nothing to say, and so never is null.
LEFT_OUT = Field(exclude_if=_is_none, json_schema_extra=_without_null)

# Of a key that is null only as long as the answer is being written, which a stream has types for.
NEVER_NULL = Field(json_schema_extra=_without_null)


@dataclass(frozen=True, slots=True)
class ToldAs:
    """Marks JSON that is kept as it goes out: documented as a type, and not looked at again."""

    type: Any

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(TypeAdapter(self.type).core_schema)


@dataclass(frozen=True, slots=True)
class JsonOf:
    """Marks a string that is JSON of a type."""

    type: Any

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        content = handler(TypeAdapter(self.type).core_schema)
        return handler(schema) | {
            "contentMediaType": "application/json",
            "contentSchema": content,
        }

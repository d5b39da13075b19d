"""Types of request fields: JSON taken at its word, so that "1" is not 1 and true is not 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

UNSUPPORTED = "unsupported_parameter"
Item = TypeVar("Item")


class Wire(BaseModel):
    """A request object; keys it does not know are ignored, as clients send many."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, hide_input_in_errors=True)


def _integral(value: Any) -> Any:
    # JSON has one kind of number: 1.0 is the integer 1.
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Stands behind bounds, or the document would not have them.
INTEGRAL = BeforeValidator(_integral)
Whole = Annotated[int, INTEGRAL]
Unit = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1), INTEGRAL]
Signed64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), INTEGRAL]
ShortString = Annotated[str, Field(min_length=1, max_length=256)]
# One fault is enough: millions of them in one body would cost minutes and gigabytes to collect.
ListOf = Annotated[list[Item], Field(fail_fast=True)]


@dataclass(frozen=True, slots=True)
class AtMost:
    """Marks an object whose keys are counted before any of them is looked at."""

    keys: int

    def check(self, value: Any) -> Any:
        """The value, if it is small enough or no object at all."""
        if isinstance(value, dict) and len(value) > self.keys:
            raise PydanticCustomError(
                "too_long", "has {n} keys, more than {most}", {"n": len(value), "most": self.keys}
            )
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema) | {"maxProperties": self.keys}


@dataclass(frozen=True, slots=True)
class Refused:
    """Marks a parameter that this server cannot honour.

    null and the `neutral` values change nothing and pass; any other value is refused by name.
    """

    neutral: Sequence[Any] = ()

    def check(self, value: Any) -> Any:
        """The value, if it is neutral."""
        # The types too, because in Python 0 equals False.
        if value is None or any(type(value) is type(n) and value == n for n in self.neutral):
            return value
        raise PydanticCustomError(UNSUPPORTED, "is not supported by this server")

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"enum": [None, *self.neutral]}

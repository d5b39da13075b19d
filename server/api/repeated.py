"""Lists that a client sends again with every request, only longer: each item is checked once."""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from server.chat.beginnings import Beginnings

SENDER: ContextVar[str] = ContextVar("sender", default="")  # the caller whose body is read


class Repeated:
    """Marks a list of objects whose values are strings, so that JSON that is equal means the same.

    Numbers would not do, as in Python true equals 1. The objects are shared by a caller's requests,
    and must not be changed.
    """

    def __init__(self) -> None:
        self._checked: Beginnings[Any, Any] = Beginnings(_characters)

    def forget(self) -> None:
        """All that was sent."""
        self._checked.forget()

    def check(self, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        """The objects; only those are looked at that no earlier list began with."""
        if not isinstance(value, list):
            return check(value)

        def checked(begun: Sequence[Any]) -> Any:
            return check([*begun, *value[len(begun) :]])

        return self._checked.made(SENDER.get(), value, checked)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self.check, handler(source))


def _characters(value: Any) -> int:
    """Of JSON, about: all of it is held, also what has no meaning."""
    match value:
        case str():
            return len(value)
        case dict():
            return sum(len(key) + _characters(one) for key, one in value.items())
        case list():
            return sum(map(_characters, value))
        case _:
            return 8


CHAT_MESSAGES = Repeated()

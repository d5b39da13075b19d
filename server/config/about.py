"""What every table of the configuration is made of."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


@dataclass(frozen=True, slots=True)
class About:
    """What a setting does (`what`), the values it takes (`unit`), and why its default is so.

    example: stands for the value in texts, where there is no default.
    """

    what: str
    unit: str
    reason: str
    flag: str | None = None
    alias: str | None = None  # a short environment variable beside the systematic one
    secret: bool = False
    example: str = ""


class Section(BaseModel):
    """One table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _empty_is_unset(value: Any) -> Any:
    return None if value == "" else value


# TOML has no null, so the empty string stands for it.
Unset = BeforeValidator(_empty_is_unset)

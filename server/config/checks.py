"""Whether what was read is known and fits; where it is not, the sentence that says so."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from server.config.schema import ENTRY_KEYS, KEYS, PREFIX, Key

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one sentence for the person."""


def known(name: str, names: Mapping[str, T], what: str) -> T:
    """What is called `name`. Raises ConfigError with the name that was probably meant."""
    if name in names:
        return names[name]
    raise ConfigError(f"Unknown {what}; {_suggestion(name, names)}")


def _suggestion(name: str, names: Iterable[str]) -> str:
    """The known name that was probably meant; a key may have been put into the wrong section."""
    words = {_word(other): other for other in (*ENTRY_KEYS, *KEYS, *names)}
    close = difflib.get_close_matches(_word(name), words, n=1, cutoff=0.5)
    if not close:
        return "`rwkv-server config` lists the known ones."
    return f"did you mean {words[close[0]]}?"


def _word(name: str) -> str:
    # What names share, the section or the prefix, would make unlike ones look alike.
    return name.removeprefix(PREFIX).rpartition(".")[2]


def checked(key: Key, value: Any, where: str, strict: bool = False) -> Any:
    """The value as its setting has it. Raises ConfigError that says what would fit."""
    try:
        if strict:
            # As JSON, because a strict model takes no list for a tuple from Python.
            text = json.dumps(_alone(key, value), default=str)
            return getattr(key.model.model_validate_json(text, strict=True), key.field)
        return getattr(key.model.model_validate(_alone(key, value)), key.field)
    except ValidationError:
        got = "a value that does not fit" if key.about.secret else shown(value)
        raise ConfigError(f"{where} must be {key.about.unit}, but is {got}.") from None


def _alone(key: Key, value: Any) -> dict[str, Any]:
    """A table that has this value, and of the others only what it must have."""
    siblings = (other for other in ENTRY_KEYS.values() if other.model is key.model)
    needed = {other.field: other.about.example for other in siblings if other.info.is_required()}
    return needed | {key.field: value}


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"

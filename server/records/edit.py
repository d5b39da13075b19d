"""Changes of a part of a document, as values: they can be made again, and on another's version.

Making one twice is making it once, so that one whose success is not known can be tried again.
"""

import json
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Edit:
    """path: the keys that lead to what is changed.

    set: value takes its place. add: the items in value go to the end of the list, without those
    whose `id` is there. remove: the item whose `id` is value leaves the list.
    """

    do: Literal["set", "add", "remove"]
    path: tuple[str, ...]
    value: Any

    def change(self, document: dict[str, Any]) -> None:
        *before, last = self.path
        place = document
        for key in before:
            place = place[key]
        match self.do:
            case "set":
                place[last] = deepcopy(self.value)
            case "add":
                there = {item["id"] for item in place[last]}
                place[last] += [deepcopy(item) for item in self.value if item["id"] not in there]
            case "remove":
                place[last] = [item for item in place[last] if item["id"] != self.value]


def edited(text: bytes, edits: Iterable[Edit]) -> dict[str, Any]:
    """The document of a text, changed."""
    document: dict[str, Any] = json.loads(text)
    for edit in edits:
        edit.change(document)
    return document

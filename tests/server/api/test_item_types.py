"""What is told of items, and what is wrong with one that is none of them."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from server.api.items.types import AnyItem
from tests.server.api.document import DOCUMENT

ITEM = {"id": "x_1", "status": "completed"}
MESSAGE = {**ITEM, "type": "message", "role": "user", "content": []}


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ({**MESSAGE, "content": [{"type": "input_text"}]}, "message.user.content.0.text"),
        ({**MESSAGE, "role": "bot"}, "message"),
        ({**ITEM, "type": "reasoning", "summary": [], "content": 3}, "reasoning.content"),
        ({**ITEM, "type": "thought"}, ""),
    ],
)
def test_a_bad_item_has_one_fault(item: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(AnyItem).validate_python(item)
    (fault,) = caught.value.errors()
    assert ".".join(map(str, fault["loc"])) == place


def test_a_discriminator_leads_to_names_only() -> None:
    def mappings(schema: Any) -> Any:
        if isinstance(schema, dict):
            yield from schema.get("discriminator", {}).get("mapping", {}).values()
        for one in schema.values() if isinstance(schema, dict) else schema:
            if isinstance(one, dict | list):
                yield from mappings(one)

    found = list(mappings(DOCUMENT))
    assert found
    assert all(isinstance(name, str) for name in found)

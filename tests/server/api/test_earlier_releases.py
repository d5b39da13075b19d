"""What earlier releases have stored is told as the OpenAPI document has it."""

from typing import Any

import pytest

from server.api.auth import ANONYMOUS
from tests.server.api.document import check
from tests.server.api.doubles import Api

RESPONSES, CONVERSATIONS = "/v1/responses", "/v1/conversations"
GIVEN: list[Any] = [{"role": "user", "content": "Hi"}, {"type": "reasoning", "summary": []}]
# Until parts of thoughts had types, they were kept as they came.
ODD = {
    "summary": [{"type": "summary_text", "text": "Hm.", "of": "another server"}, {"odd": 1}],
    "content": [{"type": "text", "text": "Hm, hm."}, {"type": "blob", "text": None}],
}
TEXTS = {
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "content": [{"type": "reasoning_text", "text": "Hm, hm."}],
}


async def age(api: Api, kind: str, id: str, place: str) -> str:
    """Let a document be as an earlier release has kept it; gives the id of its thoughts."""
    document = await api.context.records.get(ANONYMOUS, kind, id)
    assert document is not None
    (thoughts,) = [item for item in document[place] if item["type"] == "reasoning"]
    thoughts |= ODD
    assert api.context.records.put(ANONYMOUS, kind, id, document)
    found: str = thoughts["id"]
    return found


async def post(api: Api, path: str, **body: Any) -> Any:
    response = await api.client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def get(api: Api, path: str) -> Any:
    response = await api.client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture
async def response(api: Api) -> str:
    """The id of one that was stored long ago."""
    id: str = (await post(api, RESPONSES, model="tiny", input=GIVEN))["id"]
    await age(api, "response", id, "input")
    return id


async def test_a_response_and_its_input(api: Api, response: str) -> None:
    check(await get(api, f"{RESPONSES}/{response}"), f"{RESPONSES}/{{response_id}}", "get")
    items = await get(api, f"{RESPONSES}/{response}/input_items")
    check(items, f"{RESPONSES}/{{response_id}}/input_items", "get")
    assert items["data"][0].items() >= TEXTS.items()


async def test_an_item_that_is_only_named(api: Api, response: str) -> None:
    (item, _) = (await get(api, f"{RESPONSES}/{response}/input_items"))["data"]
    named = [{"type": "item_reference", "id": item["id"]}, *GIVEN[:1]]
    second = (await post(api, RESPONSES, model="tiny", input=named))["id"]
    document = await api.context.records.get(ANONYMOUS, "response", second)
    assert document is not None
    assert document["input"][0].items() >= TEXTS.items()


async def test_the_items_of_a_conversation(api: Api) -> None:
    id = (await post(api, CONVERSATIONS, items=GIVEN))["id"]
    item = await age(api, "conversation", id, "items")
    path = f"{CONVERSATIONS}/{{conversation_id}}/items"
    check(await get(api, f"{CONVERSATIONS}/{id}/items"), path, "get")
    one = await get(api, f"{CONVERSATIONS}/{id}/items/{item}")
    check(one, f"{path}/{{item_id}}", "get")
    assert one.items() >= TEXTS.items()

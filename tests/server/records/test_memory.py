"""Documents in memory: who finds them, what is evicted, and what is left of a deleted one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.records import Edit, KeptRecords, MemoryRecords, Records, TooLarge, packed


@pytest.fixture(params=["memory", "disk"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryRecords]:
    if request.param == "memory":
        yield MemoryRecords(10_000)
    else:
        kept = KeptRecords(10_000)
        kept.open(tmp_path / "documents.sqlite3")
        yield kept
        kept.close()


async def test_a_document_comes_back_as_it_was_put(records: Records) -> None:
    assert records.put("me", "note", "a", {"text": "ü", "parts": [1, None]})
    assert await records.get("me", "note", "a") == {"text": "ü", "parts": [1, None]}


@pytest.mark.parametrize("name", [("you", "note", "a"), ("me", "list", "a"), ("me", "note", "b")])
async def test_owner_kind_and_id_have_to_fit(records: Records, name: tuple[str, str, str]) -> None:
    records.put("me", "note", "a", {})
    assert await records.get(*name) is None


async def test_what_is_given_out_is_a_copy(records: Records) -> None:
    document = {"parts": [1]}
    records.put("me", "note", "a", document)
    document["parts"].append(2)
    found = await records.get("me", "note", "a")
    assert found == {"parts": [1]}
    found["parts"].append(3)
    assert await records.get("me", "note", "a") == {"parts": [1]}


async def test_documents_are_listed_in_the_order_of_their_coming(records: Records) -> None:
    for id in "cab":
        records.put("me", "note", id, {"id": id})
    records.put("me", "note", "c", {"id": "c", "new": True})
    records.put("you", "note", "d", {"id": "d"})
    found = await records.list("me", "note")
    assert [one["id"] for one in found] == ["c", "a", "b"]
    assert found[0]["new"]


async def test_nothing_is_left_of_a_deleted_document(records: MemoryRecords) -> None:
    records.put("me", "note", "a", {"text": "x"})
    await records.delete("me", "note", "a")
    await records.delete("me", "note", "a")
    assert await records.get("me", "note", "a") is None
    assert await records.list("me", "note") == []
    assert (len(records), records.nbytes) == (0, 0)


async def test_the_least_recently_used_are_evicted(records: MemoryRecords) -> None:
    for id in "abcd":
        records.put("me", "note", id, {"text": "x" * 1_950})
    await records.get("me", "note", "a")
    records.put("me", "note", "e", {"text": "x" * 1_950})
    found = [await records.get("me", "note", id) is not None for id in "abcde"]
    assert found == [True, False, True, True, True]
    assert records.evicted == 1
    assert records.nbytes <= 10_000


async def test_a_document_of_more_than_a_quarter_is_not_kept(records: MemoryRecords) -> None:
    room = records.room("me", "note", "a") - len(packed({"text": ""}))
    assert records.put("me", "note", "a", {"text": "x" * room})
    assert not records.put("me", "note", "b", {"text": "x" * (room + 1)})
    assert 2_000 < records.nbytes <= 2_500


async def test_the_largest_documents_leave_the_three_before_them(records: MemoryRecords) -> None:
    room = records.room("me", "note", "a") - len(packed({"text": ""}))
    for id in "abcde":
        records.put("me", "note", id, {"text": "x" * room})
    found = [await records.get("me", "note", id) is not None for id in "abcde"]
    assert found == [False, True, True, True, True]


async def test_a_document_that_grew_too_large_is_not_found_as_it_was(
    records: MemoryRecords,
) -> None:
    records.put("me", "note", "a", {"text": "x"})
    assert not records.put("me", "note", "a", {"text": "x" * 10_000})
    assert await records.get("me", "note", "a") is None


async def test_a_document_can_grow_by_its_room(records: Records) -> None:
    records.put("me", "note", "a", {"text": ""})
    room = records.room("me", "note", "a")
    assert room < records.room("me", "note", "b")
    await records.edit("me", "note", "a", Edit("set", ("text",), "x" * room))
    assert records.room("me", "note", "a") == 0
    with pytest.raises(TooLarge):
        await records.edit("me", "note", "a", Edit("set", ("text",), "x" * (room + 1)))

"""What is remembered of lists that begin alike."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat import beginnings
from server.chat.beginnings import Beginnings

LISTS = st.lists(st.text("ab", max_size=2), max_size=6).map(tuple)


class Making:
    """Makes of each item the text up to its end, and counts those it made."""

    def __init__(self) -> None:
        self.known: Beginnings[str, str] = Beginnings(len)
        self.count = 0

    def __call__(self, items: Sequence[str], name: str = "") -> list[str]:
        def make(begun: Sequence[str]) -> list[str]:
            self.count += len(items) - len(begun)
            return [*begun, *("|".join(items[: n + 1]) for n in range(len(begun), len(items)))]

        self.count = 0
        return list(self.known.made(name, items, make))


@pytest.fixture(autouse=True)
def nothing_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings, "_SHORT", 0)


@pytest.fixture
def making() -> Making:
    return Making()


@settings(max_examples=200, deadline=None)
@given(st.lists(LISTS, max_size=8))
def test_what_is_remembered_is_what_is_made_of_a_list_alone(lists: list[tuple[str, ...]]) -> None:
    making = Making()
    for items in lists:
        assert making(items) == Making()(items)


def test_only_what_is_new_in_a_list_is_made(making: Making) -> None:
    making("abcd")
    for items, new in (("abcd", 0), ("abcdef", 2), ("abcdefgh", 2), ("abcdxy", 2)):
        making(items)
        assert making.count == new, items


def test_a_list_that_was_left_for_another_is_still_known(making: Making) -> None:
    every = "abcdefghijklmnopqrstuvwxyz"
    for items in (every, every[:13] + "X" * 13, every, every[:20]):
        making(items)
    assert making.count == 0


def test_a_list_is_known_by_its_name_alone(making: Making) -> None:
    making("abc", "one")
    making("abc", "other")
    assert making.count == 3


def test_of_a_list_that_fails_nothing_is_remembered(making: Making) -> None:
    def fail(begun: Sequence[str]) -> list[str]:
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        making.known.made("", "abc", fail)
    making("abc")
    assert making.count == 3


@pytest.mark.parametrize("bound", ["_LISTS", "_ITEMS", "_CHARACTERS"])
def test_the_oldest_lists_are_forgotten_beyond_a_bound(
    making: Making, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(beginnings, bound, 2 if bound == "_LISTS" else 6)
    for items in ("abc", "ghi", "xyz"):
        making(items)
    made = [(making(items), making.count) for items in ("xyz", "ghi", "abc")]
    assert [count for _, count in made] == [0, 0, 3]


def test_a_list_that_is_larger_than_a_bound_takes_no_others_place(
    making: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginnings, "_CHARACTERS", 6)
    for items in ("abc", "0123456789", "abc"):
        making(items)
    assert making.count == 0


def test_what_a_list_goes_on_with_counts_for_the_bound(
    making: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginnings, "_CHARACTERS", 9)
    for items in ("xyz", "abc", "abcdef", "abcdefg", "xyz"):
        making(items)
    assert making.count == 3


def test_what_is_forgotten_is_made_anew(making: Making) -> None:
    making("abc")
    making.known.forget()
    making("abc")
    assert making.count == 3


def test_a_short_list_is_made_anew_and_takes_no_place(
    making: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginnings, "_SHORT", 8)
    monkeypatch.setattr(beginnings, "_LISTS", 1)
    for items, new in (("abcdefghi", 9), ("abcd", 4), ("abcd", 4), ("abcdefghi", 0)):
        making(items)
        assert making.count == new, items


def test_few_items_that_are_long_are_known(making: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings, "_SHORT", 8)
    for items in (["a" * 9, "b"], ["a" * 9, "c"]):
        making(items)
    assert making.count == 1

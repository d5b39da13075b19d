"""Bodies that begin as earlier ones did."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from server.api import resent
from server.api.resent import SENDER, Bodies

TALK = [{"role": "user", "content": f"Wort {n}: ü"} for n in range(20)]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([1.5, "", "]", '"', "é", "\\"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)
PAIRS = st.tuples(st.sampled_from(["messages", "model", "a"]), VALUES | st.lists(VALUES))
ESCAPED = {"messages": r'"\u006dessages"'}


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Objects with keys more than once, and white space where there may be some."""
    comma = draw(st.sampled_from([",", " ,\n", ", "]))
    pairs = []
    for key, value in draw(st.lists(PAIRS, max_size=3)):
        name = ESCAPED.get(key) if draw(st.booleans()) else None
        shown = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=(comma, ":"))
        pairs.append(f"{name or json.dumps(key)} : {shown}")
    return "{" + comma.join(pairs) + "}"


def body(*messages: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


@settings(max_examples=300, deadline=None)
@given(st.lists(texts(), max_size=6), st.data())
def test_a_body_is_what_it_is_alone(every: list[str], data: st.DataObject) -> None:
    bodies = Bodies()
    for text in every:
        cut = data.draw(st.integers(0, len(text)))
        for one in (text, text[:cut] + data.draw(st.sampled_from(every))[cut:]):
            assert outcome(bodies.parse, one.encode()) == outcome(alone, one.encode())


def alone(data: bytes) -> Any:
    return from_json(data, allow_inf_nan=False)


def outcome(parse: Any, data: bytes) -> str:
    """With the types of numbers, and what an error says."""
    try:
        return repr(parse(data))
    except ValueError as error:
        return str(error)


def known(first: list[Any], then: list[Any]) -> list[bool]:
    """Which messages of one body are the other's own."""
    return [one is other for one, other in zip(first, then, strict=False)]


def test_messages_that_were_sent_before_are_the_same_objects() -> None:
    bodies = Bodies()
    first = bodies.parse(body(*TALK))["messages"]
    for length, more in ((20, ["more"]), (20, []), (10, ["other"]), (1, ["another"])):
        then = bodies.parse(body(*TALK[:length], *more, stream=True))["messages"]
        assert then == [*TALK[:length], *more]
        assert known(first, then[:length]) == [True] * length


def test_what_another_sender_sent_is_parsed_for_itself() -> None:
    bodies, read = Bodies(), []
    for sender in ("ann", "bob", "ann"):
        token = SENDER.set(sender)
        read.append(bodies.parse(body(*TALK))["messages"])
        SENDER.reset(token)
    assert not any(known(read[0], read[1]))
    assert all(known(read[0], read[2]))


def test_a_list_that_comes_twice_counts_as_it_does_alone() -> None:
    bodies = Bodies()
    text = body(*TALK)
    bodies.parse(text)
    for key in ('"messages"', r'"\u006dessages"'):
        twice = text[:-1] + f', {key}: ["other"]}}'.encode()
        for _ in range(2):
            assert bodies.parse(twice)["messages"] == ["other"]
        assert bodies.parse(text)["messages"] == TALK


def test_the_oldest_bodies_are_forgotten_beyond_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = Bodies()
    other = body("other", *TALK)
    monkeypatch.setattr(resent, "_CHARACTERS", 2 * len(other))
    first = bodies.parse(body(*TALK))["messages"]
    bodies.parse(other)
    assert all(known(first, bodies.parse(body(*TALK))["messages"]))
    bodies.parse(other)
    bodies.parse(body("another", *TALK))
    assert not any(known(first, bodies.parse(body(*TALK))["messages"]))


def test_a_body_that_is_larger_than_a_bound_takes_no_others_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies = Bodies()
    monkeypatch.setattr(resent, "_CHARACTERS", len(body(*TALK)))
    first = bodies.parse(body(*TALK))["messages"]
    bodies.parse(body(*TALK, "more", *TALK))
    assert all(known(first, bodies.parse(body(*TALK))["messages"]))


def test_what_is_forgotten_is_parsed_anew() -> None:
    bodies = Bodies()
    first = bodies.parse(body(*TALK))["messages"]
    bodies.forget()
    assert not any(known(first, bodies.parse(body(*TALK))["messages"]))

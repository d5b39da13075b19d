"""Thoughts apart from answers: text in any pieces, stop strings, turns and follow-ups."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.stops import TextWatcher
from server.chat.thinking import Phase, ThoughtSplitter, phase_of
from tests.doubles import ByteTokenizer, WritingModel
from tests.server.chat.talking import HELLO, TOKENIZER, assistant, length, read, serving, user

PROPERTY = settings(max_examples=50, deadline=None)
PHASES: tuple[Phase, ...] = ("start", "opened", "thought", "closing", "answer")
PIECES = st.sampled_from(
    ["<think>", "</think>", "</thi", "<", ">", "/", " ", "\n", "a", "é", "🙂", "\n\n"]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)
# What the model writes after every colon, of which a prompt may give it the beginning.
PENSIVE = " <think>\nHm, hm.\n</think>\n\nHi there."
SILENT = " <think>\n</think>\n\nHi there."


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


def split(phase: Phase, texts: list[str]) -> tuple[str, str]:
    """(thought, answer) of a text that comes in pieces."""
    splitter = ThoughtSplitter(phase)
    said = [*map(splitter.push, texts), splitter.close()]
    return "".join(s.reasoning for s in said), "".join(s.content for s in said)


def whole(phase: Phase, text: str) -> tuple[str, str]:
    """The same, by looking at the whole text."""
    if phase == "answer" or (phase == "start" and not text.lstrip().startswith("<think>")):
        return "", text.lstrip()
    if phase == "closing":
        return "", text.removeprefix(">").lstrip()
    begun = text.lstrip().removeprefix("<think>") if phase == "start" else text
    thought, _, answer = (begun.removeprefix(">") if phase == "opened" else begun).partition(
        "</think>"
    )
    return thought.strip(), answer.lstrip()


@PROPERTY
@given(st.sampled_from(PHASES), TEXTS, st.lists(st.integers(0, 100), max_size=12))
def test_pieces_are_split_as_the_whole_text_is(phase: Phase, text: str, places: list[int]) -> None:
    points = [chunk.decode("utf-32-le") for chunk in _by_characters(text, places)]
    assert split(phase, points) == whole(phase, text)


def _by_characters(text: str, places: list[int]) -> list[bytes]:
    return cut(text.encode("utf-32-le"), [4 * (p % (len(text) + 1)) for p in places])


@PROPERTY
@given(st.sampled_from(PHASES), TEXTS)
def test_nothing_of_a_thought_is_ever_delivered_as_an_answer(phase: Phase, text: str) -> None:
    splitter = ThoughtSplitter(phase)
    for end, char in enumerate(text, start=1):
        content = splitter.push(char).content
        assert content in whole(phase, text[:end])[1]
        assert not (content and not splitter.answering)


@pytest.mark.parametrize(
    ("opening", "phase"),
    [
        ("\n\nAssistant:", "start"),
        ("\n\nAssistant: <think", "opened"),
        (" (think a bit)\n\nAssistant: <think", "opened"),
        ("\n\nAssistant: <think>\n</think", "closing"),
        ("<|im_start|>assistant\n<think>\n", "thought"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", "answer"),
    ],
)
def test_the_opening_of_a_prompt_says_what_comes_next(opening: str, phase: Phase) -> None:
    assert phase_of(opening) == phase


def watch(
    tokens: list[bytes], stops: list[str], answer_stops: list[str], phase: Phase
) -> tuple[str, bool]:
    """What is delivered, and whether a stop string ended it."""
    watcher = TextWatcher(ByteTokenizer(tokens), stops, answer_stops, phase)
    text = ""
    for number in range(len(tokens)):
        watched = watcher.push(257 + number)
        text += watched.text
        if watched.stopped:
            return text, True
    return text + watcher.close(), False


@PROPERTY
@given(st.lists(st.integers(0, 100), max_size=12), st.booleans())
def test_a_stop_of_the_request_ends_the_answer_and_no_thought(
    places: list[int], begun: bool
) -> None:
    text = " <think>one\n\nEND two</think>\n\nthree END four"
    given = text.index(">") if begun else 0
    tokens = cut(text[given:].encode(), places)
    phase: Phase = "opened" if begun else "start"
    delivered, stopped = watch(tokens, [], ["END", "\n\n", "<"], phase)
    assert stopped
    assert delivered == text[given:].partition(" END four")[0].lstrip() + " "


@PROPERTY
@given(st.lists(st.integers(0, 100), max_size=12))
def test_a_stop_of_the_template_ends_a_thought_too(places: list[int]) -> None:
    tokens = cut(b">one\n\nUser: two</think>", places)
    assert watch(tokens, ["\n\nUser:"], ["one"], "opened") == (">one", True)


@pytest.mark.parametrize("tokens", [[b" ", b"\n", b"\n", b"a"], [b" \n\na"]])
def test_a_stop_before_an_answer_without_thoughts_is_found(tokens: list[bytes]) -> None:
    assert watch(tokens, [], ["\n\n"], "start") == ("", True)


def test_what_began_like_a_mark_is_delivered_when_it_ends() -> None:
    assert watch([b"<th", b"in"], [], ["x"], "start") == ("<thin", False)
    assert split("start", ["<th", "in"]) == ("", "<thin")
    assert split("thought", ["a </th", "in"]) == ("a </thin", "")


async def test_a_thought_is_delivered_apart_from_the_answer() -> None:
    async with serving(PENSIVE) as server:
        answer = await server.ask(*HELLO, thinking="on")
        assert (answer.thought, answer.text, answer.reason) == ("Hm, hm.", "Hi there.", "stop")
        assert answer.end.reasoning_tokens == length(">\nHm, hm.\n</think>")


async def test_a_thought_that_nobody_asked_for_is_one_all_the_same() -> None:
    async with serving(PENSIVE) as server:
        answer = await server.ask(*HELLO)
        assert (answer.thought, answer.text) == ("Hm, hm.", "Hi there.")
        assert answer.end.reasoning_tokens == length(" <think>\nHm, hm.\n</think>")


async def test_without_thinking_the_answer_begins_after_an_empty_thought() -> None:
    async with serving(SILENT) as server:
        answer = await server.ask(*HELLO, thinking="none")
        assert (answer.thought, answer.text) == ("", "Hi there.")
        assert answer.end.reasoning_tokens == 0
        assert answer.end.tokens == length(">\n\nHi there.") + 1


async def test_an_answer_without_any_thought_has_none() -> None:
    async with serving() as server:
        answer = await server.ask(*HELLO)
        assert (answer.thought, answer.end.reasoning_tokens) == ("", 0)


@pytest.mark.parametrize(
    ("thinking", "ending"),
    [
        (None, "Hello\n\nAssistant:"),
        ("none", "Hello\n\nAssistant: <think>\n</think"),
        ("on", "Hello\n\nAssistant: <think"),
        ("low", "Hello (think a bit)\n\nAssistant: <think"),
        ("medium", "Hello (think)\n\nAssistant: <think"),
        ("high", "Hello (think a lot)\n\nAssistant: <think"),
    ],
)
async def test_the_wish_to_think_ends_the_prompt(thinking, ending: str) -> None:
    async with serving(model=(model := WritingModel(PENSIVE))) as server:
        answer = await server.ask(*HELLO, thinking=thinking, max_tokens=1)
        fed = model.fed[: answer.turn.prompt_tokens]
        assert TOKENIZER.decode(fed) == f"System: Be brief.\n\nUser: {ending}"


async def test_an_effort_is_not_written_into_an_answer() -> None:
    async with serving(model=(model := WritingModel(PENSIVE))) as server:
        answer = await server.ask(*HELLO, assistant("Hm"), thinking="low", max_tokens=1)
        fed = TOKENIZER.decode(model.fed[: answer.turn.prompt_tokens])
        assert fed.endswith("\n\nAssistant: Hm\n\nAssistant: <think")


async def test_an_answer_that_is_cut_within_its_thought_has_no_content() -> None:
    async with serving(PENSIVE) as server:
        answer = await server.ask(*HELLO, thinking="on", max_tokens=6)
        assert (answer.thought, answer.text, answer.reason) == ("Hm,", "", "length")
        assert answer.end.reasoning_tokens == answer.end.tokens == 6
        following = await server.ask(*HELLO, assistant(""), user("Well?"))
        assert following.fed == length("\n\nUser: Well?\n\nAssistant:")


@pytest.mark.parametrize("after", [None, "none", "on", "high"])
async def test_a_follow_up_of_any_effort_costs_only_its_own_words(after) -> None:
    async with serving(PENSIVE) as server:
        talk = [*HELLO]
        for effort in ("low", "on", None):
            first = await server.ask(*talk, thinking=effort)
            talk += [assistant(first.text), user("Bye")]
            second = await server.ask(*talk, thinking=after, max_tokens=1)
            opening = server.service.model.lay_out("ann", talk, after).opening.text
            assert second.fed == length("\n\nUser: Bye", opening)


async def test_the_state_after_an_answer_remembers_the_thought() -> None:
    async with serving(PENSIVE) as server:
        first = await server.ask(*HELLO, thinking="low")
        talk = (*HELLO, assistant(first.text), user("Bye"))
        await server.ask(*talk, max_tokens=1)
        fed = server.kept(*talk)
        assert fed is not None
        assert TOKENIZER.decode(fed.fed.to_list()) == (
            f"System: Be brief.\n\nUser: Hello (think a bit)\n\nAssistant:{PENSIVE}"
            "\n\nUser: Bye\n\nAssistant:"
        )


async def test_another_effort_is_another_prompt() -> None:
    async with serving(PENSIVE) as server:
        for effort in ("low", "high", "on", "none", None):
            answer = await server.ask(*HELLO, thinking=effort, max_tokens=1)
            assert answer.fed > 0
            again = await server.ask(*HELLO, thinking=effort, max_tokens=1)
            assert again.fed == 0


async def test_an_edited_answer_is_not_fed_into_a_thought() -> None:
    async with serving(PENSIVE) as server:
        await server.ask(*HELLO, thinking="on")
        talk = (*HELLO, assistant("I never said that."), user("Bye"))
        await server.ask(*talk, max_tokens=1)
        kept = server.kept(*talk)
        assert kept is not None
        assert "<think" not in TOKENIZER.decode(kept.fed.to_list())


async def test_every_choice_has_a_thought_of_its_own() -> None:
    async with serving(PENSIVE) as server:
        answer = await server.ask(*HELLO, thinking="on", choices=3)
        assert answer.thoughts == dict.fromkeys(range(3), "Hm, hm.")
        assert answer.texts == dict.fromkeys(range(3), "Hi there.")


FORGETFUL = {"keep_thinking": False}


@pytest.mark.parametrize("choices", [1, 3])
@pytest.mark.parametrize("thinking", [None, "on", "high"])
async def test_a_dropped_thought_leaves_no_trace_and_costs_the_follow_up_nothing(
    thinking, choices: int
) -> None:
    async with serving(PENSIVE, **FORGETFUL) as server:
        first = await server.ask(*HELLO, thinking=thinking, choices=choices)
        assert first.thoughts[0] == "Hm, hm."
        talk = (*HELLO, assistant(first.texts[0]), user("Bye"))
        second = await server.ask(*talk, max_tokens=1)
        assert second.fed == length("\n\nUser: Bye\n\nAssistant:")
        kept = server.kept(*talk)
        assert kept is not None
        assert TOKENIZER.decode(kept.fed.to_list()) == (
            "System: Be brief.\n\nUser: Hello\n\nAssistant: Hi there.\n\nUser: Bye\n\nAssistant:"
        )


async def test_an_answer_without_thoughts_is_not_read_again() -> None:
    async with serving(model=(model := WritingModel(" Hi there.")), **FORGETFUL) as server:
        first = await server.ask(*HELLO)
        assert len(model.fed) == first.turn.prompt_tokens + length(" Hi there.")


async def test_where_there_is_no_room_to_drop_a_thought_the_follow_up_reads_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(PENSIVE, **FORGETFUL) as server:
        turn = await server.start(*HELLO, thinking="on")
        with monkeypatch.context() as busy:
            busy.setattr(server.client, "room", lambda priority: 0)
            assert (await read(turn)).text == "Hi there."
        talk = (*HELLO, assistant("Hi there."), user("Bye"))
        second = await server.ask(*talk, max_tokens=1)
        assert second.turn.cached_tokens == length("System: Be brief.")
        kept = server.kept(*talk)
        assert kept is not None
        assert "think" not in TOKENIZER.decode(kept.fed.to_list())

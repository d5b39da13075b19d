"""The grammar: reproducible, true to its splits, and well formed."""

import itertools
import json
import random
import re
from collections import Counter
from functools import cache

import pytest

from models.gosling.dialogues import Dialogue, Message, Split, dialogue
from models.gosling.dialogues.draw import held
from models.gosling.dialogues.exam import ABILITIES, exam, questions
from models.gosling.dialogues.phrases import bank
from models.gosling.dialogues.sums import held_sum
from models.gosling.dialogues.vocabulary import entries, real_values
from models.gosling.scoring import checks, holds

MANY = 20_000
CALL = "```json\n"


@cache
def training() -> tuple[Dialogue, ...]:
    rng = random.Random(2024)
    return tuple(dialogue(rng, Split.TRAIN) for _ in range(MANY))


def texts(role: str) -> list[str]:
    return [m.content for d in training() for m in d.messages if m.role == role]


def normalised(text: str) -> str:
    return " ".join(re.sub(r"[^\w{}]+", " ", text.lower()).split())


@cache
def normalised_users() -> str:
    return "\n".join(map(normalised, texts("user")))


@cache
def training_words() -> frozenset[str]:
    return frozenset(re.findall(r"[^\W\d_]+", "\n".join(texts("user")).lower()))


def drawn(split: Split, count: int = 300) -> list[Dialogue]:
    rng = random.Random(7)
    return [dialogue(rng, split) for _ in range(count)]


@pytest.mark.parametrize("split", list(Split))
def test_the_same_seed_gives_the_same_dialogues(split: Split) -> None:
    assert drawn(split, 50) == drawn(split, 50)


def test_every_ability_occurs_in_training() -> None:
    kinds = Counter(kind for d in training() for kind in d.kinds)
    wanted = {
        "facts", "lists", "arithmetic", "words", "counting", "tools", "json", "talk", "identity",
        "beyond",
    }  # fmt: skip
    assert set(kinds) == wanted
    assert min(kinds.values()) > MANY // 50


def test_real_names_and_towns_of_the_evaluation_never_occur_in_training() -> None:
    single = {value for value in real_values() if value.isalpha()}
    assert single & training_words() == set()


def test_listed_training_names_and_towns_are_not_among_the_real_ones_held_out() -> None:
    used = {v.lower() for name in ("first_names", "towns", "surnames") for v in entries(name)}
    assert used & real_values() == set()


def test_there_are_at_least_150_real_names_and_150_real_towns() -> None:
    assert len(set(entries("real_first_names"))) >= 150
    assert len(set(entries("real_towns"))) >= 150


def test_names_held_out_by_value_are_never_told_in_training() -> None:
    told = {value.lower() for d in training() for value in d.values}
    rng = random.Random(3)
    unseen = {
        check.essential.lower()
        for _ in range(400)
        for check in checks(exam(rng, Split.HELD_VALUES, "facts", 0))
        if held(check.essential)
    }
    assert len(unseen) > 200
    assert unseen & told == set()


def test_held_out_words_are_never_spelled_or_reversed_in_training() -> None:
    answers = {
        a for d in training() for a, k in zip(d.answers, d.kinds, strict=True) if k == "words"
    }
    rng = random.Random(4)
    wanted = [c for _ in range(300) for c in checks(exam(rng, Split.HELD_VALUES, "words"))]
    unseen = {c.answer for c in wanted if len(c.answer) > 4}
    assert len(unseen) > 150
    assert unseen & answers == set()


def test_held_out_sums_are_never_answered_in_training() -> None:
    sums = re.findall(r"^(\d+) ([+-]) (\d+) = ", "\n".join(texts("assistant")), re.MULTILINE)
    assert len(sums) > MANY // 3
    assert not any(held_sum(int(a), operation, int(b)) for a, operation, b in sums)


def test_every_evaluated_sum_is_held_out() -> None:
    rng = random.Random(5)
    for _ in range(200):
        for check in checks(exam(rng, Split.HELD_VALUES, "arithmetic")):
            a, operation, b, *_ = check.answer.split()
            assert held_sum(int(a), operation, int(b))


FRAGMENTS = ("made.value", "json.about", "opt.", "fix.open")  # parts of messages


def forms(*, held: bool) -> set[str]:
    """Normalised phrasings of whole messages, their slots left as they are."""
    whole = (section for name, section in bank().items() if not name.startswith(FRAGMENTS))
    lines = (line for s in whole for line in (s.held if held else s.train))
    return {normalised(phrase.text) for line in lines for phrase in line}


def test_held_out_phrasings_are_no_reading_of_a_training_line() -> None:
    assert forms(held=True) & forms(held=False) == set()


def test_held_out_phrasings_without_a_value_are_never_said_in_training() -> None:
    fixed = {form for form in forms(held=True) if "{" not in form}
    assert fixed & set(normalised_users().split("\n")) == set()


def test_at_least_two_phrasings_of_an_intent_are_held_out() -> None:
    tested = [s for name, s in bank().items() if not name.startswith(("beyond", "opt", "yesno"))]
    assert all(len(section.held) >= 2 for section in tested)


def test_no_message_of_user_or_system_holds_an_empty_line() -> None:
    assert not any("\n\n" in text or text != text.strip() for text in texts("user"))
    assert not any("\n\n" in text or text != text.strip() for text in texts("system"))


def test_roles_alternate_behind_an_optional_system_message() -> None:
    for d in training():
        turns = d.messages[1:] if d.messages[0].role == "system" else d.messages
        roles = [message.role for message in turns]
        assert roles == list(itertools.islice(itertools.cycle(("user", "assistant")), len(roles)))
        assert len(roles) % 2 == 0


@pytest.mark.parametrize("split", list(Split))
def test_checks_point_at_answers_that_hold_their_essential_value(split: Split) -> None:
    for d in drawn(split):
        for at, essential in zip(d.checks, d.answers, strict=True):
            message = d.messages[at]
            assert message.role == "assistant"
            assert essential in message.content


def listed_tools(system: str) -> dict[str, set[str]]:
    lines = re.findall(r"^- ([\w-]+)\((.*?)\)", system, re.MULTILINE)
    return {name: set(re.findall(r"(\w+)\??: ", arguments)) for name, arguments in lines}


def called(d: Dialogue) -> list[Message]:
    return [m for m in d.messages if m.role == "assistant" and m.content.startswith(CALL)]


def test_every_call_is_json_and_fits_a_listed_tool() -> None:
    count = 0
    for d in training():
        for message in called(d):
            call = json.loads(message.content.removeprefix(CALL).removesuffix("\n```"))
            known = listed_tools(d.messages[0].content)
            assert set(call["arguments"]) <= known[call["name"]]
            count += 1
    assert count > MANY // 10


def test_required_arguments_are_always_passed() -> None:
    for d in training()[:2000]:
        for message in called(d):
            call = json.loads(message.content.removeprefix(CALL).removesuffix("\n```"))
            line = re.search(rf"^- {call['name']}\((.*?)\)", d.messages[0].content, re.MULTILINE)
            assert line is not None
            assert set(re.findall(r"(\w+): ", line.group(1))) <= set(call["arguments"])


def test_without_tools_nothing_is_called() -> None:
    plain = [d for d in training() if "Tools:" not in d.messages[0].content]
    assert len(plain) > MANY // 3
    assert not any(called(d) for d in plain)


def test_json_answers_parse() -> None:
    for d in training():
        for at, kind in zip(d.checks, d.kinds, strict=True):
            if kind == "json":
                json.loads(d.messages[at].content)


def test_hand_written_questions_are_many_and_never_asked_in_training() -> None:
    asked = set(normalised_users().split("\n"))
    assert len(set(questions())) >= 120
    assert {normalised(q) for q in questions()} & asked == set()


@pytest.mark.parametrize(
    ("split", "ability"), [(s, a) for s, abilities in ABILITIES.items() for a in abilities]
)
def test_an_exam_checks_its_ability(split: Split, ability: str) -> None:
    rng = random.Random(6)
    for _ in range(20):
        found = exam(rng, split, ability)
        assert found.checks
        assert set(found.kinds) <= {ability, "json"}


@pytest.mark.parametrize("gap", [0, 5, 10])
def test_a_fact_is_asked_back_after_as_many_turns_as_wanted(gap: int) -> None:
    found = exam(random.Random(8), Split.HELD_VALUES, "facts", gap)
    users = [m for m in found.messages if m.role == "user"]
    assert len(users) == gap + 2
    assert found.checks == (len(found.messages) - 1,)


def test_real_names_are_what_the_real_name_exam_asks_for() -> None:
    rng = random.Random(9)
    for _ in range(100):
        found = exam(rng, Split.REAL_NAMES, "facts", 0)
        assert any(holds(found.answers[0].lower(), value) for value in real_values())

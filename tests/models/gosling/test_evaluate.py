"""Scoring and the evaluation around it, with predictors that know or do not know."""

import io
import json
import random

import pytest
from rich.console import Console

from models.gosling.dialogues import Split
from models.gosling.dialogues.exam import ABILITIES, exam
from models.gosling.evaluate import by_distance, report, results, score, unseen
from models.gosling.scoring import Check, checks, correct


def check(kind: str, answer: str, essential: str, others: tuple[str, ...] = ()) -> Check:
    return Check(kind, (), answer, essential, others)


NAME = check("facts", "Your name is Ethan.", "Ethan", ("Rex",))
CALL = '{"name": "get_time", "arguments": {"city": "Oslo"}}'
TOOL = check("tools", f"```json\n{CALL}\n```", CALL)
LIMIT = check("beyond", "I am a small demo model and cannot answer that.", "x")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (NAME, " Your name is Ethan."),
        (NAME, " You are called Ethan."),
        (NAME, " Your name is Ethan.\n\nUser: Rex"),
        (NAME, ">\nYour name is Ethan."),
        (TOOL, ' ```json\n{"arguments": {"city":"Oslo"}, "name": "get_time"}\n```'),
        (TOOL, "\n" + CALL + "\n```"),
        (LIMIT, " Load a bigger RWKV checkpoint for that."),
        (LIMIT, " I have no tool for that."),
    ],
)
def test_right_answers_count(wanted: Check, text: str) -> None:
    assert correct(wanted, text)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (NAME, " Your name is Ethane."),
        (NAME, " Your name is Eth."),
        (NAME, " Your name is Ethan or Rex."),
        (NAME, ' ```json\n{"name": "Ethan"}\n```'),
        (NAME, ""),
        (TOOL, ' ```json\n{"name": "get_time", "arguments": {"city": "Bergen"}}\n```'),
        (TOOL, ' ```json\n{"name": "get_time", "arguments": {"city": "Oslo"'),
        (LIMIT, " The capital is Oslo."),
        (LIMIT, ' I have no tool for that. ```json\n{"name": "x"}\n```'),
        (check("words", "nahte", "nahte"), " nahte e"),
        (check("arithmetic", "2 + 3 = 5.", "= 5."), " 2 + 3 = 55."),
    ],
)
def test_wrong_answers_do_not_count(wanted: Check, text: str) -> None:
    assert not correct(wanted, text)


@pytest.mark.parametrize(
    ("split", "ability"), [(s, a) for s, abilities in ABILITIES.items() for a in abilities]
)
def test_the_true_answer_is_right_by_its_own_measure(split: Split, ability: str) -> None:
    rng = random.Random(2)
    for _ in range(50):
        for wanted in checks(exam(rng, split, ability)):
            assert correct(wanted, f" {wanted.answer}")


def test_a_prompt_ends_with_the_header_of_its_answer() -> None:
    for wanted in unseen(Split.HELD_VALUES, "facts", 20):
        assert wanted.prompt[-1].startswith("\n\nAssistant:")


def test_the_same_questions_are_asked_every_time() -> None:
    assert unseen(Split.HELD_PHRASES, "tools", 20) == unseen(Split.HELD_PHRASES, "tools", 20)


def encode(text: str) -> list[int]:
    return list(text.encode())


def oracle(prompts: list[list[int]]) -> list[str]:
    """Knows every answer of this test's questions."""
    known = {
        bytes(encode("".join(c.prompt))): c.answer
        for split, abilities in ABILITIES.items()
        for ability in abilities
        for c in unseen(split, ability, 5)
    }
    return [known[bytes(prompt)] for prompt in prompts]


def silent(prompts: list[list[int]]) -> list[str]:
    return ["" for _ in prompts]


@pytest.mark.parametrize("split", list(ABILITIES))
def test_an_oracle_scores_100_percent(split: Split) -> None:
    assert set(score(oracle, encode, split, 5).values()) == {100.0}


def test_silence_scores_nothing() -> None:
    assert set(score(silent, encode, Split.HELD_VALUES, 5).values()) == {0.0}


def test_facts_are_measured_at_every_distance_up_to_10_turns() -> None:
    found = by_distance(silent, encode, 2)
    assert [r.ability for r in found] == [f"facts, {gap} turns" for gap in range(11)]


def test_a_json_report_parses() -> None:
    console = Console(file=io.StringIO(), width=200)
    report(console, results(silent, encode, [Split.REAL_NAMES], 2), as_json=True, wrong=False)
    assert isinstance(console.file, io.StringIO)
    rows = json.loads(console.file.getvalue())
    assert {row["ability"] for row in rows} == {"facts", "lists", "tools"}


def test_a_table_names_every_ability_and_split() -> None:
    console = Console(file=io.StringIO(), width=200)
    report(console, results(silent, encode, [Split.REAL_NAMES], 2), as_json=False, wrong=True)
    assert isinstance(console.file, io.StringIO)
    assert "real names" in console.file.getvalue()

"""What stands around a phrasing when a user types it."""

import random

import pytest

from models.gosling.dialogues import Split, surface
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.phrases import bank, bare, held_out, phrase
from models.gosling.dialogues.surface import CHAT, CHAT_ENDS, CLOSERS, OPENERS, Tone, render


def said(text: str, tone: Tone, count: int = 400) -> set[str]:
    d = Draw(random.Random(1), Split.TRAIN)
    return {render(d, phrase(text), {}, tone=tone) for _ in range(count)}


@pytest.mark.parametrize("tone", list(Tone))
def test_a_message_has_the_openers_and_closers_of_its_tone(tone: Tone) -> None:
    texts = said("Xylo", tone)
    openers = {o for o in OPENERS[tone] if any(t.startswith(o) for t in texts)}
    closers = {c for c in CLOSERS[tone] if any(t.endswith(c) for t in texts)}
    assert len(openers) > len(OPENERS[tone]) // 2
    assert len(closers) > len(CLOSERS[tone]) // 2


def test_small_talk_is_not_asked_for_as_an_answer() -> None:
    texts = said("Xylo", Tone.CHAT)
    assert not any("Do you know?" in t or "question" in t.lower() for t in texts)
    assert all("question" not in c.lower() for c in (*CHAT, *CHAT_ENDS))


def test_the_words_of_a_held_out_phrasing_are_told_whatever_their_marks_and_case() -> None:
    held = [p.text for line in bank()["hello"].held for p in line]
    assert all(held_out(f" {text.upper()} !!") for text in held)
    assert not held_out("Xylo")


def test_a_message_that_would_become_a_held_out_phrasing_stays_as_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surface, "held_out", lambda text: bare(text) != "xylo")
    assert {bare(text) for text in said("Xylo", Tone.CHAT)} == {"xylo"}

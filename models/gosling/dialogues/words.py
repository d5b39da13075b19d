"""Operations on one word: spelling, reversing, counting its letters, its ends, repeating it."""

from models.gosling.dialogues import values
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Exchange, turn
from models.gosling.dialogues.surface import say

ABILITY = "words"
SECTIONS = ("spell",) * 8 + ("reverse",) * 9 + ("letters",) * 6 + ("first", "last", "repeat")


def spelled(word: str) -> str:
    return "-".join(word)


def answer(section: str, word: str) -> tuple[str, str]:
    """(answer, its essential part)"""
    match section:
        case "spell":
            return spelled(word), spelled(word)
        case "reverse":
            return word[::-1], word[::-1]
        case "letters":
            return f"{spelled(word)}: {len(word)} letters.", f"{len(word)} letters"
        case "first":
            return f"{word} starts with {word[0]}.", f"starts with {word[0]}"
        case "last":
            return f"{word} ends with {word[-1]}.", f"ends with {word[-1]}"
        case _:
            return word, word


def shown(d: Draw, word: str) -> str:
    """The word as the user writes it, sometimes between quotes."""
    return d.pick((f'"{word}"', f"'{word}'", f"“{word}”")) if d.chance(0.18) else word


def subject(d: Draw) -> str:
    """The word to work on; in a tenth of the cases capitalised."""
    word = values.word(d)
    return word.capitalize() if d.chance(0.1) else word


def question(d: Draw, section: str | None = None) -> Exchange:
    section = section or d.pick(SECTIONS)
    word = subject(d)
    reply, essential = answer(section, word)
    return turn(ABILITY, say(d, section, w=shown(d, word)), reply, essential)

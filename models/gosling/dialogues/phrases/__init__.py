"""Phrase banks as data, and the choice of a phrasing.

A file holds sections: `# name`, then one phrasing a line. `(a|b)` offers alternatives, `{v}` is
filled with a value, and a line that begins with `~` is held out: it is said only in
`Split.HELD_PHRASES`. Contractions and American spelling are added as further variants.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product

from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Split

FILES = ("facts", "lists", "sums", "words", "counting", "tools", "shaped", "talk", "beyond")
CONTRACTIONS = (
    ("What is ", "What's "),
    ("what is ", "what's "),
    ("Where is ", "Where's "),
    ("How is ", "How's "),
    ("Who is ", "Who's "),
    ("I am ", "I'm "),
    ("It is ", "It's "),
    ("I have been ", "I've been "),
    ("do not ", "don't "),
    ("Do not ", "Don't "),
    ("did not ", "didn't "),
    ("cannot ", "can't "),
    ("Let us ", "Let's "),
    ("I would ", "I'd "),
    ("I will ", "I'll "),
    ("favourite", "favorite"),
)
SPACED = re.compile(r" (?=[?.!]$)")
CHOICE = re.compile(r"\(([^()]*)\)")
MARKS = re.compile(r"[^\w{}]+")
LITERAL = re.compile(r"(\{\w+\})")


@dataclass(frozen=True, slots=True)
class Phrase:
    """One phrasing as format strings: as written, all lower case, and mid-sentence."""

    text: str
    lower: str
    middle: str


@dataclass(frozen=True, slots=True)
class Section:
    """Each line is the tuple of its variants, so a line with many is not said more often."""

    train: tuple[tuple[Phrase, ...], ...]
    held: tuple[tuple[Phrase, ...], ...]


def expand(line: str) -> list[str]:
    """Every reading of the `(a|b)` alternatives in a line."""
    pieces = CHOICE.split(line)
    options = [p.split("|") if i % 2 else [p] for i, p in enumerate(pieces)]
    return [capitalise(SPACED.sub("", "".join(parts)).strip()) for parts in product(*options)]


def capitalise(text: str) -> str:
    """The text with an upper-case start where a dropped alternative left a lower-case one."""
    return text[0].upper() + text[1:] if text.endswith((".", "?", "!")) else text


def variants(line: str) -> list[str]:
    texts = expand(line)
    for plain, short in CONTRACTIONS:
        texts += [t.replace(plain, short) for t in texts if plain in t]
    return texts


def lowered(text: str) -> str:
    """Lower case outside the slots."""
    return "".join(p if p.startswith("{") else p.lower() for p in LITERAL.split(text))


def decapitalised(text: str) -> str:
    if text.startswith(("I ", "I'", "{")):
        return text
    return text[0].lower() + text[1:]


def phrase(text: str) -> Phrase:
    return Phrase(text, lowered(text), decapitalised(text))


def parse(text: str) -> Iterator[tuple[str, bool, tuple[Phrase, ...]]]:
    """(section, held out, variants) for every line of a phrase file."""
    section = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("# "):
            section = line[2:].removesuffix(" ?")
        else:
            forms = tuple(phrase(t) for t in variants(line.removeprefix("~")))
            yield section, line.startswith("~"), forms


@cache
def bank() -> dict[str, Section]:
    """Every section of every phrase file."""
    found: dict[str, tuple[list[tuple[Phrase, ...]], list[tuple[Phrase, ...]]]] = {}
    for name in FILES:
        text = files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
        for section, is_held, forms in parse(text):
            found.setdefault(section, ([], []))[is_held].append(forms)
    return {name: Section(tuple(train), tuple(held)) for name, (train, held) in found.items()}


def bare(text: str) -> str:
    """The words alone: in lower case, without marks, slots kept."""
    return " ".join(MARKS.sub(" ", text.lower()).split())


@cache
def held_forms() -> frozenset[str]:
    """The bare words of every held-out phrasing that has no slot."""
    lines = (line for section in bank().values() for line in section.held)
    return frozenset(bare(p.text) for line in lines for p in line if "{" not in p.text)


def held_out(text: str) -> bool:
    """Whether these are the words of a phrasing that is held out."""
    return bare(text) in held_forms()


def choose(d: Draw, section: str) -> Phrase:
    """A phrasing of the section that the split allows."""
    lines = bank()[section]
    held_out = d.split is Split.HELD_PHRASES and lines.held
    return d.pick(d.pick(lines.held if held_out else lines.train))

"""Values a user may name: names, towns, words and numbers, real-looking and invented.

Variety is the point: a model that has copied every kind of letter sequence copies an unseen one.
Letter chains (order 2) over the word lists give plausible names; syllables, random letters and
reshuffled letters give implausible ones.
"""

from functools import cache

from models.gosling.dialogues.draw import Draw, held
from models.gosling.dialogues.messages import Split
from models.gosling.dialogues.vocabulary import entries

CONSONANTS = "bcdfghjklmnpqrstvwxyz"
VOWELS = "aeiou"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CLUSTERS = (
    *"bcdfghjklmnprstvwz", "br", "ch", "cl", "dr", "fl", "gr", "kl", "kr", "ph", "pl", "qu", "sh",
    "sk", "sl", "st", "th", "tr", "x", "y",
)  # fmt: skip
CODAS = ("", "", "", "n", "r", "l", "s", "m", "k", "t", "x", "th", "ck", "nd", "rt", "ng", "ss")
ACCENTS = {
    "a": "áàâäãåā", "e": "éèêëēę", "i": "íìîï", "o": "óòôöõøō", "u": "úùûüū", "c": "çćč",
    "n": "ñńň", "s": "śšş", "z": "źżž", "l": "ł", "y": "ýÿ", "d": "ďđ", "g": "ğ", "r": "ř",
}  # fmt: skip


@cache
def chain(name: str) -> dict[str, str]:
    """For each pair of letters in a word list, the letters that follow; `$` ends a word."""
    follow: dict[str, list[str]] = {}
    for word in entries(name):
        text = f"^^{word.split()[0].lower()}$"
        for i in range(2, len(text)):
            follow.setdefault(text[i - 2 : i], []).append(text[i])
    return {context: "".join(letters) for context, letters in follow.items()}


def chained(d: Draw, name: str, longest: int = 10) -> str:
    """A lower-case word of 3 to `longest` letters that looks like those of a list."""
    follow = chain(name)
    while True:
        text = "^^"
        while (letter := d.pick(follow[text[-2:]])) != "$" and len(text) <= longest + 2:
            text += letter
        if 5 <= len(text) <= longest + 2:
            return text[2:]


def syllables(d: Draw) -> str:
    count = d.pick((1, 2, 2, 2, 3))
    return "".join(d.pick(CLUSTERS) + d.pick(VOWELS) + d.pick(CODAS) for _ in range(count))[:10]


def scrambled(d: Draw) -> str:
    length = d.between(3, 8)
    return "".join(d.pick(LETTERS) for _ in range(length))


def reshuffled(d: Draw, name: str) -> str:
    letters = list(d.pick(entries(name)).split()[0].lower())
    d.rng.shuffle(letters)
    return "".join(letters)


def accented(d: Draw, text: str) -> str:
    """The text with one to all of its letters that have an accented form replaced."""
    share = d.pick((0.25, 0.5, 1.0))
    marked = (d.pick(ACCENTS[c]) if c in ACCENTS and d.chance(share) else c for c in text)
    return "".join(marked)


def invented(d: Draw, name: str) -> str:
    """An invented lower-case word; most follow the letters of list `name`."""
    roll = d.rng.random()
    if roll < 0.5:
        return chained(d, name)
    if roll < 0.72:
        return syllables(d)
    if roll < 0.88:
        return reshuffled(d, name)
    return scrambled(d)


def cased(d: Draw, text: str) -> str:
    roll = d.rng.random()
    if roll < 0.84:
        return titled(text)
    return text.lower() if roll < 0.96 else text.upper()


def titled(text: str) -> str:
    """Upper case at the start of every word and hyphenated part."""
    return "-".join(
        " ".join(w[:1].upper() + w[1:] for w in part.split(" ")) for part in text.split("-")
    )


def make_name(d: Draw) -> str:
    listed = d.split is not Split.HELD_VALUES and d.chance(0.4)
    text = d.pick(entries("first_names")).lower() if listed else invented(d, "first_names")
    roll = d.rng.random()
    if roll < 0.06:
        text += "-" + chained(d, "first_names", 7)
    elif roll < 0.16:
        text = accented(d, text)
    elif roll < 0.23:
        text += " " + (d.pick(entries("surnames")) if d.chance(0.5) else invented(d, "surnames"))
    return cased(d, text)


def name(d: Draw) -> str:
    """A person's or a pet's name; in `Split.REAL_NAMES` a real first name."""
    if d.split is Split.REAL_NAMES:
        return d.pick(entries("real_first_names"))
    return d.fresh(lambda: make_name(d))


def make_town(d: Draw) -> str:
    if d.split is not Split.HELD_VALUES and d.chance(0.4):
        return cased(d, d.pick(entries("towns")))
    text = invented(d, "towns")
    roll = d.rng.random()
    if roll < 0.05:
        text = d.pick(("new ", "san ", "port ", "saint ", "bad ", "north ", "el ", "la ")) + text
    elif roll < 0.08:
        text += " " + invented(d, "towns")
    elif roll < 0.11:
        text += "-" + invented(d, "towns")
    elif roll < 0.21:
        text = accented(d, text)
    return cased(d, text)


def town(d: Draw) -> str:
    """A town; in `Split.REAL_NAMES` a real one."""
    if d.split is Split.REAL_NAMES:
        return d.pick(entries("real_towns"))
    return d.fresh(lambda: make_town(d))


def country(d: Draw) -> str:
    if d.chance(0.6):
        return listed(d, "countries")
    return d.fresh(lambda: titled(invented(d, "countries")))


def make_word(d: Draw) -> str:
    roll = d.rng.random()
    if roll < 0.42:
        return d.pick(plain_words())
    if roll < 0.7:
        return chained(d, "nouns")
    if roll < 0.78:
        return chained(d, "towns")
    if roll < 0.88:
        return syllables(d)
    return reshuffled(d, "nouns") if roll < 0.94 else scrambled(d)


def word(d: Draw) -> str:
    """A lower-case word of 3 to 10 letters."""
    return d.fresh(lambda: make_word(d))


@cache
def plain_words() -> tuple[str, ...]:
    """English words of 3 to 10 letters, and first names and towns in lower case."""
    names = ("nouns", "nouns", "adjectives", "verbs", "foods", "animals", "first_names", "towns")
    found = (w.lower() for name in names for w in entries(name))
    return tuple(w for w in found if w.isascii() and w.isalpha() and 3 <= len(w) <= 10)


@cache
def halves(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A word list as (usable in training, held out)."""
    found = entries(name)
    return tuple(w for w in found if not held(w)), tuple(w for w in found if held(w))


def listed(d: Draw, name: str) -> str:
    """An entry of a word list that the split allows. In training sometimes one made up like them:
    a model that only ever met fifty colours remembers colours instead of copying what it read."""
    train, held_out = halves(name)
    if held_out and d.split is Split.HELD_VALUES:
        return d.pick(held_out)
    if d.split is Split.TRAIN and d.chance(0.3):
        return d.fresh(lambda: imitated(d, d.pick(train)))
    return d.pick(train)


def imitated(d: Draw, entry: str) -> str:
    """The entry with some of its longer words exchanged for others, in the same case."""
    exchanged = (
        word if len(word) < 4 or d.chance(0.3) else like(word, make_word(d))
        for word in entry.split(" ")
    )
    return " ".join(exchanged)


def like(word: str, other: str) -> str:
    return titled(other) if word[0].isupper() else other


def number(d: Draw, digits: int) -> str:
    """A number of `digits` digits that does not begin with 0."""
    return d.fresh(lambda: str(d.between(10 ** (digits - 1), 10**digits - 1)))


def code(d: Draw) -> str:
    """A number of 2 to 4 digits, mostly 3 or 4; sometimes letters before it."""
    if d.chance(0.12):
        return d.fresh(lambda: scrambled(d)[: d.between(1, 3)].upper() + str(d.between(1, 999)))
    return number(d, d.pick((2, 3, 3, 4, 4, 4)))

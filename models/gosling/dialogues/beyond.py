"""Everything a model of a few megabytes cannot do: it says so, and says what would help.

Questions, tasks, mathematics and noise are built from several hundred patterns and the word
lists, in every syntactic form, so that the limit is the answer to whatever is not known.
"""

from collections.abc import Callable, Iterable

from models.gosling.dialogues import values
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.kinds import MONTHS
from models.gosling.dialogues.messages import Exchange, turn
from models.gosling.dialogues.phrases import choose
from models.gosling.dialogues.surface import render
from models.gosling.dialogues.vocabulary import entries
from models.gosling.dialogues.wording import article, plural, upper_first

ABILITY = "beyond"
START = "I am a small demo model and "
ASK = START + "cannot answer that. Load a bigger RWKV checkpoint for questions like this."
DO = START + "cannot do that. Load a bigger RWKV checkpoint for tasks like this."
MATHS = START + "only add and subtract numbers up to 99. Load a bigger RWKV checkpoint for more."
NOISE = START + "do not understand that. Load a bigger RWKV checkpoint for more."
TITLES = (
    "the Mona Lisa", "Hamlet", "Macbeth", "War and Peace", "Don Quixote", "the Odyssey",
    "Star Wars", "Titanic", "The Matrix", "Inception", "Frozen", "Faust", "Dune", "1984", "Carmen",
    "the Bible", "the Koran", "Guernica", "Starry Night", "the Magic Flute", "Bohemian Rhapsody",
    "Imagine", "Avatar", "Jaws", "Casablanca", "Moby Dick", "Emma", "Ulysses", "The Hobbit",
)  # fmt: skip
CODE = (
    "def f(x): return x * 2", "for i in range(10): print(i)", "SELECT * FROM users;", "x = [1, 2",
    "while True: pass", "console.log('hi')", "int main() { return 0; }", "import os", "a = b + c",
    "if x > 3: y = 2", "print('hello')", "let x = 5;", "fn main() {}", "<div>hi</div>", "rm -rf /",
    "class A: pass", "git push --force", "assert a == b", "return n * f(n - 1)", "npm install",
)  # fmt: skip
TOOL_LIKE = (
    "weather", "time", "turn ", "set ", "remind", "wake", "play", "book", "send", "call", "order",
    "buy", "convert", "transl", "search", "look up", "google", "navig", "open", "close", "start",
    "stop", "find", "show", "way to", "get to", "check", "news", "joke", "recipe", "cook", "mean",
    "defin", "price", "cost", "how far", "distance", "far is", "far away", "population", "people",
    "how many", "how big", "big is", "make", "how much", "say", "number", "learn",
    "random", "convert", "list", "sun", "flight", "train", "hotel", "mail",
)  # fmt: skip
ASKING = (
    "what", "who", "where", "when", "why", "how", "which", "whose", "whom", "is", "are", "was",
    "were", "do", "does", "did", "can", "could", "should", "would", "will", "has", "have", "might",
)  # fmt: skip
LINKS = (
    "of", "in", "on", "with", "for", "from", "to", "by", "about", "under", "after", "before",
    "without", "against",
)  # fmt: skip
BEING = (
    "is", "are", "was", "were", "becomes", "seems", "needs", "has", "gets", "makes", "causes",
)  # fmt: skip
FREE_ENDS = ("", "", "today", "in history", "for children", "nowadays", "in general", "exactly")
MARKS = "?!.;:#@%&*+=/<>~^$"


def noun(d: Draw) -> str:
    return d.pick(entries("nouns")) if d.chance(0.93) else values.word(d)


def place(d: Draw) -> str:
    return d.pick(entries("countries")) if d.chance(0.3) else values.town(d)


def person(d: Draw) -> str:
    return d.pick(entries("people")) if d.chance(0.6) else full_name(d)


def full_name(d: Draw) -> str:
    return f"{values.titled(values.name(d))} {d.pick(entries('surnames'))}"


def topic(d: Draw) -> str:
    roll = d.rng.random()
    if roll < 0.55:
        return d.pick(entries("topics"))
    if roll < 0.75:
        return f"{d.pick(entries('adjectives'))} {plural(noun(d))}"
    if roll < 0.85:
        return f"the {noun(d)} of {place(d)}"
    return (
        f"{noun(d)} {d.pick(('theory', 'design', 'law', 'science', 'history', 'care', 'repair'))}"
    )


def most(d: Draw) -> str:
    adjective = d.pick(entries("adjectives")).lower()
    return f"{adjective}est" if len(adjective) < 5 else f"most {adjective}"


def verb(d: Draw) -> str:
    return d.pick(entries("verbs"))


def past(d: Draw) -> str:
    text = d.pick(entries("verbs")).split()[0]
    return f"{text}d" if text.endswith("e") else f"{text}ed"


def some_words(d: Draw) -> str:
    """A few words in a row, as a text to work on."""
    clauses = [
        f"the {d.pick(entries('adjectives'))} {noun(d)} {verb(d)}s the {noun(d)}"
        for _ in range(d.pick((1, 1, 1, 2, 3)))
    ]
    return d.pick((" and ", ". ", ", ", " because ")).join(clauses)


def with_article(d: Draw) -> str:
    text = noun(d)
    return f"{article(text)} {text}"


SLOTS: dict[str, Callable[[Draw], str]] = {
    "noun": noun,
    "nouns": lambda d: plural(noun(d)),
    "a_noun": with_article,
    "adj": lambda d: d.pick(entries("adjectives")),
    "most": most,
    "verb": verb,
    "Verb": lambda d: upper_first(verb(d)),
    "verbed": past,
    "topic": topic,
    "person": person,
    "name": values.name,
    "place": place,
    "country": lambda d: d.pick(entries("countries")),
    "language": lambda d: d.pick(entries("languages")),
    "food": lambda d: d.pick(entries("foods")),
    "title": lambda d: d.pick(TITLES) if d.chance(0.7) else f"The {upper_first(noun(d))}",
    "month": lambda d: d.pick(MONTHS),
    "year": lambda d: str(d.between(1000, 2030)),
    "code": lambda d: d.pick(CODE),
    "words": some_words,
    "m": lambda d: str(d.between(2, 99)),
    "n": lambda d: str(d.between(2, 20)),
    "big": lambda d: str(d.between(100, 99999)),
}


class Filled(dict[str, str]):
    """Slots drawn when a phrasing asks for them; `noun2` is another `noun`."""

    def __init__(self, d: Draw) -> None:
        super().__init__()
        self.d = d

    def __missing__(self, slot: str) -> str:
        self[slot] = SLOTS[slot.rstrip("2")](self.d)
        return self[slot]


def jumble(d: Draw) -> str:
    return d.fresh(lambda: values.scrambled(d))


def gibberish(d: Draw) -> str:
    """Letters, marks or words without sense."""
    roll = d.rng.random()
    if roll < 0.35:
        return " ".join(jumble(d) for _ in range(d.between(1, 4)))
    if roll < 0.55:
        return " ".join(values.word(d) for _ in range(d.between(2, 6)))
    if roll < 0.75:
        return " ".join(noun(d) for _ in range(d.between(3, 8)))
    if roll < 0.88:
        return "".join(d.pick(MARKS) for _ in range(d.between(1, 8)))
    return " ".join(f"{jumble(d)}{d.pick(MARKS)}" for _ in range(d.between(1, 4)))


def phrased_plainly(d: Draw, template: str) -> str:
    """A template with its slots filled and nothing else changed."""
    return template.format_map(Filled(d))


def phrased(d: Draw, section: str) -> str:
    text = render(d, choose(d, section), Filled(d))
    return upper_first(text) if d.chance(0.7) else text


def asked(d: Draw) -> str:
    """One question, or in a tenth of the cases two in a row."""
    text = phrased(d, "beyond.ask")
    return f"{text} {phrased(d, 'beyond.ask')}" if d.chance(0.1) else text


def free_question(d: Draw) -> str:
    """A question of question word, verb and noun phrases in random order and number."""
    pieces = [d.pick(ASKING)]
    for _ in range(d.between(1, 3)):
        pieces += [
            d.pick(("the", "a", "some", "all", "many", "these", "our", "", "")),
            described(d),
        ]
        pieces.append(d.pick(BEING) if d.chance(0.4) else d.pick((verb(d), d.pick(LINKS))))
    pieces += [described(d), d.pick(FREE_ENDS)]
    text = " ".join(filter(None, pieces))
    return (upper_first(text) if d.chance(0.7) else text) + d.pick(("?", "?", "?", ""))


def described(d: Draw) -> str:
    roll = d.rng.random()
    if roll < 0.4:
        return noun(d)
    if roll < 0.6:
        return plural(noun(d))
    if roll < 0.75:
        return f"{d.pick(entries('adjectives'))} {noun(d)}"
    return d.pick((topic, place, person))(d)


def question(d: Draw, section: str | None = None) -> Exchange:
    section = section or d.pick(SECTIONS)
    match section:
        case "ask":
            return reply(asked(d), ASK)
        case "foreign":
            return reply(phrased(d, "beyond.foreign"), ASK)
        case "do":
            return reply(phrased(d, "beyond.do"), DO)
        case "maths":
            return reply(phrased(d, "beyond.maths"), MATHS)
        case "free":
            return reply(free_question(d), ASK)
    return reply(gibberish(d), NOISE)


SECTIONS: tuple[str, ...] = ("ask",) * 22 + ("do",) * 12 + ("free",) * 5
SECTIONS += ("maths",) * 6 + ("noise",) * 2 + ("foreign",) * 2


def reply(text: str, answer: str) -> Exchange:
    return turn(ABILITY, text, answer, answer)


def beside_tools(d: Draw) -> Exchange | None:
    """A question that no tool could be meant for."""
    exchange = question(d, d.pick(("ask", "ask", "do", "noise")))
    text = exchange.messages[0].content.lower()
    return None if contains(text, TOOL_LIKE) else exchange


def contains(text: str, parts: Iterable[str]) -> bool:
    return any(part in text for part in parts)

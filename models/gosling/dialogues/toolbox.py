"""Tools: a catalogue of usual ones and an endless supply of invented ones.

A catalogue line is `key | names | descriptions | parameters | results`. Parameters are
`alias/alias=maker`, with `?` after the aliases when optional; each dialogue picks one alias.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from models.gosling.dialogues import values
from models.gosling.dialogues.arguments import json_type
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.vocabulary import entries
from models.gosling.dialogues.wording import upper_first

VERBS = (
    "add", "create", "delete", "remove", "update", "get", "list", "open", "close", "start", "stop",
    "find", "check", "send", "move", "copy", "print", "save", "load", "scan", "lock", "unlock",
    "book", "cancel", "order", "buy", "sell", "rent", "reserve", "assign", "share", "publish",
    "upload", "download", "archive", "restore", "rename", "merge", "split", "resize", "rotate",
    "paint", "clean", "wash", "repair", "build", "install", "charge", "feed", "water", "measure",
    "weigh", "test", "reset", "pause", "resume", "enable", "disable", "register", "submit",
    "approve", "reject", "rate", "review", "export", "import", "sync", "launch", "deploy", "mute",
    "record", "track", "count", "sort", "filter", "draw", "pack", "ship", "label", "invite",
)  # fmt: skip
PARAMETERS = (
    "city=town", "town=town", "name=name", "owner=name", "person=name", "recipient=name",
    "user=name", "author=name", "country=town", "destination=town", "place=town", "title=word",
    "label=word", "word=word", "text=word", "tag=word", "category=word", "key=word", "group=word",
    "note=subject", "topic=subject", "query=subject", "message=short", "date=day", "day=day",
    "time=clock", "deadline=day", "start_time=clock", "count=integer", "amount=integer",
    "number=integer", "id=integer", "size=small", "priority=small", "level=small", "days=small",
    "hours=small", "width=integer", "height=integer", "weight=decimal", "price=decimal",
    "speed=integer", "distance=decimal", "page=small", "limit=small", "volume=integer",
    "colour=colour", "color=colour", "room=room", "file=file", "path=file", "language=language",
    "code=ticker", "max_price=decimal", "min_size=integer", "customer_id=integer", "floor=small",
    "version=small", "temperature=degrees", "food=food", "reason=subject", "age=integer",
    "quantity=small", "team=word", "project=word", "source=word", "target=word", "score=decimal",
    "urgent=switch", "active=switch", "public=switch", "silent=switch", "loud=switch",
)  # fmt: skip
RESULTS = (
    "status=done", "status=done", "id=integer", "count=integer", "price=decimal", "name=name",
    "state=parcel", "owner=name", "town=town", "total=integer", "code=ticker", "time=clock",
    "result=word", "answer=word", "size=integer", "temperature=degrees", "date=day",
    "score=decimal",
)  # fmt: skip
GROUPS = (
    "weather forecast sunrise heating", "time alarm timer reminder event sunrise", "calculator",
    "search news define joke recipe population", "email message call contact",
    "music", "translate define", "stock currency units account pay", "light heating dim lock",
    "taxi flight train directions distance", "hotel table", "pizza recipe coffee",
    "user contact", "order", "file delete rename", "random", "ticket",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """`aliases` are names to choose from; `maker` names the source of values."""

    aliases: tuple[str, ...]
    maker: str
    required: bool = True

    @property
    def name(self) -> str:
        return self.aliases[0]


@dataclass(frozen=True, slots=True)
class Tool:
    """`key` names the phrasings of requests; invented tools have none."""

    key: str
    name: str
    description: str
    parameters: tuple[Parameter, ...]
    results: tuple[Parameter, ...]

    def line(self) -> str:
        """The tool as the system message lists it."""
        shown = ", ".join(
            f"{p.name}{'' if p.required else '?'}: {json_type(p.maker)}" for p in self.parameters
        )
        return f"- {self.name}({shown}) {self.description}".rstrip()


@dataclass(frozen=True, slots=True)
class Kind:
    """A catalogue entry, before a dialogue picks its names."""

    key: str
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    results: tuple[Parameter, ...]


def parameter(text: str) -> Parameter:
    aliases, maker = text.strip().split("=")
    names = tuple(aliases.removesuffix("?").split("/"))
    return Parameter(names, maker, not aliases.endswith("?"))


@cache
def catalogue() -> tuple[Kind, ...]:
    text = files("models.gosling.dialogues.vocabulary").joinpath("toolbox.txt").read_text("utf-8")
    return tuple(kind(line) for line in text.splitlines())


def kind(line: str) -> Kind:
    key, names, descriptions, parameters, results = (part.strip() for part in line.split("|"))
    return Kind(
        key,
        tuple(names.split()),
        tuple(d.strip() for d in descriptions.split(";")),
        tuple(parameter(p) for p in parameters.split(";")),
        tuple(parameter(p) for p in results.split(";")),
    )


@cache
def related(key: str) -> frozenset[str]:
    """Keys of tools that might serve the same request."""
    return frozenset(k for group in GROUPS if key in group.split() for k in group.split())


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def styled(d: Draw, name: str) -> str:
    roll = d.rng.random()
    if roll < 0.14:
        return camel(name)
    return name.replace("_", "-") if roll < 0.18 else name


def known(d: Draw, chosen: Kind) -> Tool:
    """A catalogue tool with the names this dialogue gives it."""
    name = d.pick(chosen.names[:1]) if d.chance(0.4) else d.pick(chosen.names)
    description = d.pick(chosen.descriptions) if d.chance(0.75) else ""
    parameters = tuple(
        Parameter((d.pick(p.aliases),), p.maker, p.required)
        for p in chosen.parameters
        if p.required or d.chance(0.6)
    )
    results = chosen.results if d.chance(0.6) else chosen.results[:1]
    return Tool(chosen.key, styled(d, name), description, distinct(parameters), results)


def distinct(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    return tuple({p.name: p for p in parameters}.values())


def invented(d: Draw) -> Tool:
    """A tool no catalogue holds: a verb, a noun and up to three parameters."""
    while True:
        verb = values.word(d) if d.chance(0.1) else d.pick(VERBS)
        noun = values.word(d) if d.chance(0.15) else d.pick(entries("nouns"))
        if d.allowed(f"{verb}_{noun}"):
            break
    chosen = [parameter(p) for p in d.sample(PARAMETERS, d.pick((0, 1, 1, 1, 2, 2, 3)))]
    parameters = [
        Parameter(p.aliases, p.maker, not i or d.chance(0.7)) for i, p in enumerate(chosen)
    ]
    description = f"{upper_first(verb)} a {noun}" if d.chance(0.6) else ""
    results = [parameter(r) for r in d.sample(RESULTS, d.pick((1, 1, 2)))]
    name = styled(d, f"{verb}_{noun}")
    return Tool("", name, description, distinct(parameters), distinct(results))


def verb_and_noun(tool: Tool) -> tuple[str, str]:
    """The two words an invented tool was named after."""
    spaced = "".join(f" {c.lower()}" if c.isupper() else c for c in tool.name)
    verb, noun = spaced.replace("_", " ").replace("-", " ").split(" ", 1)
    return verb, noun


def toolset(d: Draw) -> tuple[Tool, ...]:
    """One to five tools of different names."""
    count = d.pick((1, 1, 2, 2, 3, 3, 4, 5))
    found: dict[str, Tool] = {}
    while len(found) < count:
        tool = invented(d) if d.chance(0.38) else known(d, d.pick(catalogue()))
        if all(tool.key != t.key or not tool.key for t in found.values()):
            found[tool.name] = tool
    return tuple(found.values())

"""Answers shaped as JSON from facts given in the same message."""

import json
from collections.abc import Callable

from models.gosling.dialogues import values
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Exchange, turn
from models.gosling.dialogues.phrases import choose
from models.gosling.dialogues.vocabulary import entries
from models.gosling.dialogues.wording import article, joined, upper_first

ABILITY = "json"


def colour(d: Draw) -> str:
    """One of the list, or any word: a model that only met the list completes what it knows."""
    return values.word(d) if d.chance(0.3) else values.listed(d, "colours")


MAKERS: dict[str, Callable[[Draw], str | int]] = {
    "age": lambda d: d.between(3, 99),
    "town": values.town,
    "job": lambda d: values.listed(d, "jobs"),
    "pet": lambda d: d.pick(entries("animals")),
    "colour": colour,
}


def about(d: Draw, details: dict[str, str | int]) -> str:
    """The person in words; the name comes first."""
    they = d.pick(("she", "he", "who"))
    parts = [choose(d, "json.about.name").text.format(name=details["name"])]
    for key, value in details.items():
        if key != "name":
            form = choose(d, f"json.about.{key}").middle
            parts.append(form.format(they=they, v=value, a=article(str(value))))
    link = d.pick((", ", ", ", "; ", " and "))
    return upper_first(link.join(parts)) + d.pick((".", ".", ";", ","))


def question(d: Draw) -> Exchange:
    """A person described and wanted as a JSON object with the keys asked for."""
    keys = d.sample(list(MAKERS), d.pick((1, 1, 2, 2, 3)))
    details: dict[str, str | int] = {"name": values.name(d)}
    details.update((key, MAKERS[key](d)) for key in keys)
    wanted = list(details) if d.chance(0.75) else d.sample(list(details), len(details) - 1)
    section = "json.one" if len(wanted) == 1 else "json.keys"
    command = choose(d, section).text.format(keys=joined(wanted))
    described = about(d, details)
    ordered = d.chance(0.75)
    text = f"{described} {command}" if ordered else f"{command} {described}"
    answer = json.dumps({key: details[key] for key in wanted}, ensure_ascii=False)
    return turn(ABILITY, text, answer, answer)

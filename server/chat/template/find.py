"""Which template a model gets: by name, by file, or by what the model is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from server.chat.template.base import Template, TemplateError
from server.chat.template.headed import ALPACA, G1, RAVEN, WORLD, HeadedTemplate

TEMPLATES: Mapping[str, HeadedTemplate] = {t.name: t for t in (G1, WORLD, RAVEN, ALPACA)}
_JINJA = (".jinja", ".jinja2", ".j2")
_WORLD_VOCAB = 65_536
# RWKV-7 World writes paragraphs; the models before it end an answer with a blank line.
_WORLD_7 = replace(WORLD, stops=G1.stops)


def find_template(name: str, generation: str = "7", vocab_size: int = 0) -> Template:
    """The template called `name`, or the Jinja file of that path. Raises TemplateError.

    "auto" goes by the model: G1 for RWKV-7, Raven for RWKV-4 but for the World models of it,
    which have 65,536 rows, and World for the rest.
    """
    if name == "auto":
        name = _chosen(generation, vocab_size)
    if name.endswith(_JINJA):
        from server.chat.template.jinja import read_template  # few servers need jinja2

        return read_template(Path(name))
    if name not in TEMPLATES:
        known = ", ".join(["auto", *TEMPLATES])
        raise TemplateError(
            f"unknown template {name!r}: choose one of {known}, or name a {_JINJA[0]} file"
        )
    return _WORLD_7 if name == "world" and generation == "7" else TEMPLATES[name]


def _chosen(generation: str, vocab_size: int) -> str:
    if generation == "7":
        return "g1"
    return "raven" if generation == "4" and vocab_size != _WORLD_VOCAB else "world"

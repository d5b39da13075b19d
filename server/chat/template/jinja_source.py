"""A template's Jinja source, compiled in a sandbox as transformers compiles it."""

import json
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.chat.template.base import TemplateError


def compiled(name: str, source: str) -> jinja2.Template:
    """Raises TemplateError."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise
    environment.filters["tojson"] = _json
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(
            f"the template {name} is not valid Jinja: {error.message} (line {error.lineno})"
        ) from error


def _json(value: Any, indent: int | None = None) -> str:
    """Without the escapes that Jinja's own filter makes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: Any) -> NoReturn:
    raise jinja2.TemplateError(str(message))

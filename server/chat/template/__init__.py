"""Chat templates: messages to the text a model was trained on, cut into segments.

Segments are tokenised each on its own. The cuts lie where a conversation can be resumed, so
that a resumed prompt and a fresh one consist of the same tokens.
"""

from server.chat.template.base import Template, TemplateError
from server.chat.template.find import TEMPLATES, find_template
from server.chat.template.headed import ALPACA, G1, RAVEN, WORLD, HeadedTemplate

__all__ = [
    "ALPACA",
    "G1",
    "RAVEN",
    "TEMPLATES",
    "WORLD",
    "HeadedTemplate",
    "Template",
    "TemplateError",
    "find_template",
]

"""Seeded synthetic dialogues: a grammar of what the demo model is meant to do.

`dialogue(rng, split)` draws one; one module holds one ability, `compose` mixes them, and the
word lists and phrasings are data in `vocabulary/` and `phrases/`.
"""

from models.gosling.dialogues.compose import dialogue
from models.gosling.dialogues.messages import Dialogue, Message, Split

__all__ = ["Dialogue", "Message", "Split", "dialogue"]

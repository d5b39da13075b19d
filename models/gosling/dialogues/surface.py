"""From a phrasing to what a user types: openers, closers, case, punctuation and typing errors.

Only the words of the phrasing change, never the values filled in, so that an answer can be
compared with what was told.
"""

from collections.abc import Mapping

from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Split
from models.gosling.dialogues.phrases import Phrase, choose

ASK = (
    "Hey, ", "So, ", "Okay, ", "Ok, ", "Please tell me, ", "Tell me, ", "Quick question: ",
    "One question: ", "Now, ", "And now: ", "Well, ", "Alright, ", "Um, ", "Hmm, ", "Hi, ",
    "Next question: ", "By the way, ", "Gosling, ", "Please: ", "I wonder, ", "Sorry, ",
    "Just checking: ", "A question: ", "One more question: ", "Good, ", "Great, ", "Nice, ",
    "Now tell me: ", "Let me ask you: ", "I want to know: ", "Excuse me, ", "Thanks! ",
)  # fmt: skip
TELL = (
    "Hey, ", "So, ", "Okay, ", "Ok, ", "By the way, ", "Well, ", "Hi, ", "Hello, ", "Also, ",
    "You know, ", "Just so you know, ", "Listen, ", "Look, ", "Gosling, ", "Please note: ",
    "First of all, ", "Oh, ", "Right, ", "Alright, ", "Now, ", "And ", "Let me tell you: ",
    "Let me tell you something: ", "Something about me: ", "Something else: ", "Good, ",
    "One more thing: ", "Great, ", "Nice. ", "Thanks. ", "To begin with, ", "Fact: ",
)  # fmt: skip
DO = (
    "Please ", "Please ", "Now ", "Now please ", "Hey, ", "Okay, ", "Ok, ", "So, ", "Gosling, ",
    "Could you please ", "Can you please ", "Can you ", "Could you ", "Would you ", "Kindly ",
    "I want you to ", "I need you to ", "I would like you to ", "Will you ", "Next, ", "Then ",
    "Would you please ", "Try to ", "Alright, ", "Good, now ", "Thanks, now ", "You should ",
)  # fmt: skip
ENDS = (
    " please", ", please", " Please.", " Thanks!", " Thanks.", " Thank you.", " thx", " :)",
    " Do you know?", " Hm?", " now", " then", " again", "?", "!", " ?", " ...", "..",
)  # fmt: skip
TELL_ENDS = (
    " Okay?", " Remember that.", " Please remember it.", " Got it?", " :)", "!",
    " Keep it in mind.",
    " Just so you know.", " By the way.", " Nice, right?", " Thanks.", " ok?", " ...", "..",
)  # fmt: skip
NO_COMMAND = (
    "Please", "And", "I ", "My ", "Also", "Oh", "One", "No ", "We ", "Number",
    "The ", "Do not", "Don't", "Let", "Can ", "Could ", "Go ", "It ", "Now ", "Just ",
)  # fmt: skip


def say(d: Draw, section: str, *, tell: bool = False, **values: str) -> str:
    """One user message in a phrasing of `section`; `tell` says that it states something."""
    return render(d, choose(d, section), values, tell=tell)


def render(d: Draw, phrase: Phrase, values: Mapping[str, str], *, tell: bool = False) -> str:
    if d.split is Split.HELD_PHRASES or d.chance(0.45):
        return phrase.text.format_map(values)
    return noisy(d, phrase, tell).format_map(values)


def noisy(d: Draw, phrase: Phrase, tell: bool) -> str:
    low = d.chance(0.35)
    opener = d.pick(openers(phrase.text, tell)) if d.chance(0.4) else ""
    if phrase.text.lower().startswith(opener.lower().rstrip(" ,:.")):
        opener = ""  # nobody says it twice, and "Hey hey" is held out
    template = phrase.middle if opener else phrase.text
    if low:
        template, opener = phrase.lower, opener.lower()
    if d.split is Split.TRAIN and d.chance(0.08):
        template = typo(d, template)
    return opener + ending(d, template, tell)


def openers(text: str, tell: bool) -> tuple[str, ...]:
    if tell:
        return TELL
    command = text.endswith(".") and not text.startswith(NO_COMMAND) and text[0] != "{"
    return DO if command else ASK


def ending(d: Draw, template: str, tell: bool) -> str:
    """The template with its final mark dropped, kept or replaced by a closer."""
    roll = d.rng.random()
    if roll < 0.45:
        return template
    bare = template.rstrip(".?! ")
    if roll < 0.78 or template.endswith("}"):
        return bare
    return (bare if d.chance(0.5) else template) + d.pick(TELL_ENDS if tell else ENDS)


def typo(d: Draw, template: str) -> str:
    """The template with two letters swapped, one dropped or one doubled, outside the slots."""
    at = d.between(0, max(0, len(template) - 2))
    pair = template[at : at + 2]
    if not pair.isalpha() or template.rfind("{", 0, at) > template.rfind("}", 0, at):
        return template
    swapped = (pair[::-1], pair[0], pair[0] + pair)[d.between(0, 2)]
    return template[:at] + swapped + template[at + 2 :]

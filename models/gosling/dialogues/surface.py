"""From a phrasing to what a user types: openers, closers, case, punctuation and typing errors.

Only the words of the phrasing change, never the values filled in, so that an answer can be
compared with what was told.
"""

from collections.abc import Mapping
from enum import Enum, auto

from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Split
from models.gosling.dialogues.phrases import Phrase, choose, held_out


class Tone(Enum):
    """What a message does, which is what stands around it."""

    ASK = auto()
    TELL = auto()
    CHAT = auto()


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
CHAT = (
    "Hey, ", "So, ", "Okay, ", "Ok, ", "Well, ", "Oh, ", "Hmm, ", "Um, ", "Hi, ", "Hello, ",
    "Gosling, ", "Anyway, ", "Right, ", "Alright, ", "By the way, ", "You know, ", "Honestly, ",
    "To be honest, ", "And ", "But ", "Listen, ", "Look, ", "Ah, ", "Hey Gosling, ", "Hi there, ",
    "Dear Gosling, ", "Hi. ", "Hello! ", "Oh well, ", "Now, ", "Yes, ", "Good morning, ",
    "Good evening, ", "My friend, ", "Just so you know, ", "Let me tell you: ", "Ok so ",
)  # fmt: skip
CHAT_ENDS = (
    ", Gosling", ", my friend", ", mate", ", buddy", ", you know", ", I think", ", honestly",
    ", to be honest", ", really", " tbh", " lol", " haha", " :)", " :D", "!", "!!", "!!!", " !",
    " ...", "..", "...", " now", " then", " again", " today", " okay?", " really", " man", " dude",
    ", dear", ", by the way", " right now",
)  # fmt: skip
OPENERS = {Tone.ASK: ASK, Tone.TELL: TELL, Tone.CHAT: CHAT}
CLOSERS = {Tone.ASK: ENDS, Tone.TELL: TELL_ENDS, Tone.CHAT: CHAT_ENDS}
NO_COMMAND = (
    "Please", "And", "I ", "My ", "Also", "Oh", "One", "No ", "We ", "Number",
    "The ", "Do not", "Don't", "Let", "Can ", "Could ", "Go ", "It ", "Now ", "Just ",
)  # fmt: skip


def say(d: Draw, section: str, *, tone: Tone = Tone.ASK, **values: str) -> str:
    """One user message in a phrasing of `section`."""
    return render(d, choose(d, section), values, tone=tone)


def render(d: Draw, phrase: Phrase, values: Mapping[str, str], *, tone: Tone = Tone.ASK) -> str:
    if d.split is Split.HELD_PHRASES or d.chance(0.45):
        return phrase.text.format_map(values)
    template = noisy(d, phrase, tone)
    return (phrase.text if held_out(template) else template).format_map(values)


def noisy(d: Draw, phrase: Phrase, tone: Tone) -> str:
    low = d.chance(0.35)
    opener = d.pick(openers(phrase.text, tone)) if d.chance(0.4) else ""
    if phrase.text.lower().startswith(opener.lower().rstrip(" ,:.!")):
        opener = ""  # nobody says it twice
    template = phrase.middle if opener else phrase.text
    if low:
        template, opener = phrase.lower, opener.lower()
    if d.split is Split.TRAIN and d.chance(0.08):
        template = typo(d, template)
    return opener + ending(d, template, tone)


def openers(text: str, tone: Tone) -> tuple[str, ...]:
    command = text.endswith(".") and not text.startswith(NO_COMMAND) and text[0] != "{"
    return DO if tone is Tone.ASK and command else OPENERS[tone]


def ending(d: Draw, template: str, tone: Tone) -> str:
    """The template with its final mark dropped, kept or replaced by a closer."""
    roll = d.rng.random()
    if roll < 0.45:
        return template
    bare = template.rstrip(".?! ")
    if roll < 0.78 or template.endswith("}"):
        return bare
    return (bare if d.chance(0.5) else template) + d.pick(CLOSERS[tone])


def typo(d: Draw, template: str) -> str:
    """The template with two letters swapped, one dropped or one doubled, outside the slots."""
    at = d.between(0, max(0, len(template) - 2))
    pair = template[at : at + 2]
    if not pair.isalpha() or template.rfind("{", 0, at) > template.rfind("}", 0, at):
        return template
    swapped = (pair[::-1], pair[0], pair[0] + pair)[d.between(0, 2)]
    return template[:at] + swapped + template[at + 2 :]

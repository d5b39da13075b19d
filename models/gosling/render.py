"""A dialogue as the text segments the model is trained on: the RWKV-7 G1 chat template.

Each segment is tokenised on its own, as the server does, so the boundaries are part of the
format. Joined, they read `System: …\\n\\nUser: …\\n\\nAssistant: …`.
"""

from dataclasses import dataclass

from models.gosling.dialogues import Dialogue, Message

HEADER = "\n\nAssistant:"
THOUGHT = " <think>\n</think"
OPENED_CALL = " ```json"
CALL = "```json\n"
USER_WEIGHT = 0.1
ANSWER_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Segment:
    """`weight` scales the training loss on the tokens of `text`."""

    text: str
    weight: float


def segments(d: Dialogue) -> list[Segment]:
    """The segments of a whole dialogue, in order."""
    found: list[Segment] = []
    for message in d.messages:
        if message.role == "assistant":
            found += answer(message, d)
        else:
            found.append(asked(message, first=not found))
    return found


def asked(message: Message, *, first: bool) -> Segment:
    start = "" if first else "\n\n"
    return Segment(f"{start}{message.role.capitalize()}: {message.content}", USER_WEIGHT)


def answer(message: Message, d: Dialogue) -> list[Segment]:
    """Header and body; the header is given to the model, the body is what it writes."""
    header, body = HEADER, f" {message.content}"
    if d.forced and message.content.startswith(CALL):
        header, body = HEADER + OPENED_CALL, message.content.removeprefix("```json")
    elif d.thinking:
        header, body = HEADER + THOUGHT, f">\n{message.content}"
    return [Segment(header, 0.0), Segment(body, ANSWER_WEIGHT)]

"""A prompt before it is submitted: what it continues, and what is left of it to read."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.chat.path import Path
from server.chat.prompt import Layout, Segment
from server.chat.served import ServedModel
from server.chat.told import Told, paths
from server.chat.tools import toolbox_of
from server.chat.turn import Boundary, Prompt
from server.chat.types import TurnRequest
from server.engine.constraint import Grammar
from server.engine.snapshot import NO_LINES
from server.session import Resumption


@dataclass(frozen=True, slots=True)
class Ready:
    """A turn that can be submitted: what it continues, and the pieces that are left to read."""

    layout: Layout
    grammar: Grammar | None
    resumption: Resumption
    pieces: Sequence[tuple[int, ...]]

    @property
    def tokens(self) -> int:
        """Of the whole prompt."""
        return self.resumption.tokens + sum(map(len, self.pieces))

    @property
    def ids(self) -> tuple[int, ...]:
        """Of the whole prompt, as they were and are fed."""
        start = self.resumption.snapshot
        before = start.fed.to_list() if start is not None else []
        return (*before, *(token for piece in self.pieces for token in piece))


def pieces(model: ServedModel, segments: Sequence[Segment]) -> list[tuple[int, ...]]:
    """Token ids of all segments, those between two boundaries joined."""
    found: list[tuple[int, ...]] = []
    ids: list[int] = []
    for segment in segments:
        ids += model.encode(segment)
        if segment.boundary:
            found.append(tuple(ids))
            ids = []
    return found


def turn_prompt(model: ServedModel, request: TurnRequest, ready: Ready) -> Prompt:
    """What a turn is told of the prompt, to name what it keeps."""
    layout, resumption = ready.layout, ready.resumption
    left = [s for s in layout.segments[resumption.segments :] if s.boundary and s.key]
    answers = [message.role == "assistant" for message in request.messages]
    before = request.messages[:-1] if request.goes_on else request.messages
    walked = paths(model, request.owner, request.messages)
    return Prompt(
        tokens=ready.tokens,
        cached=resumption.tokens,
        template=model.template,
        owner=(model.fingerprint, request.caller),
        messages_key=layout.key,
        start_key=layout.keys[resumption.segments - 1] if resumption.segments else None,
        boundaries=tuple(
            Boundary(s.key, len(piece), sum(answers[: s.message + 1]), _end(walked, s.message))
            for s, piece in zip(left, ready.pieces, strict=True)
            if s.key is not None
        ),
        turns=sum(answers) + (not request.goes_on),
        key=layout.opening.key,
        told=Told(before, toolbox_of(request).tools),
        path=walked[len(before)],
        past=resumption.snapshot.told if resumption.snapshot else NO_LINES,
        phase=layout.phase,
        calls=layout.calls,
        begun=layout.begun,
        echo=request.echo,
        keep_thinking=model.keep_thinking,
    )


def _end(walked: Sequence[Path], message: int) -> bytes:
    """The path of all questions and answers that are whole at the end of a message."""
    return walked[message + 2].before if message + 2 < len(walked) else walked[-1].whole

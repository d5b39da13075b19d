"""What follows the forward of a step: boundaries, chosen tokens, and the ends of answers."""

import logging
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from models.native.team import Team
from server.engine.chooser import Choice, choose
from server.engine.constraint import ConstraintBroken
from server.engine.messages import (
    BoundaryReached,
    FinishReason,
    TokenLogprob,
    TokenSampled,
    Watched,
)
from server.engine.roster import BROKEN, Roster
from server.engine.scores import score_sampled
from server.engine.sequence import CleanPoint, Ending, Sequence

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Turn:
    """A sequence that needs a token, and what becomes of that; see TokenSampled."""

    sequence: Sequence
    choice: Choice
    token: int | None = None
    logprob: TokenLogprob | None = None

    @property
    def is_scored(self) -> bool:
        return self.sequence.submit.logprobs is not None


class Answering:
    """Advances sequences with nothing left to feed. One that fails, fails its request alone."""

    def __init__(self, roster: Roster, forbidden: Tensor, team: Team | None) -> None:
        self._roster = roster
        self._slots = roster.slots
        self._forbidden = forbidden
        self._team = team

    def advance(self, sequences: Seq[Sequence]) -> None:
        """Each to its next piece, its next token or its end, and on as far as guesses come true.

        Tokens are chosen for all at once: for those that need one, and again for those of them
        whose next token was guessed right.
        """
        while sequences:
            turns: list[Turn] = []
            for sequence in sequences:
                if self._remains(sequence):
                    try:
                        self._prepare(sequence, turns)
                    except ConstraintBroken as error:
                        self._break_form(sequence, error)
                    except Exception:
                        self._give_up(sequence)
            self._choose(turns)
            self._score(turns)
            for turn in turns:
                if self._remains(turn.sequence):
                    try:
                        self._answer(turn)
                    except Exception:
                        self._give_up(turn.sequence)
            sequences = [s for s in sequences if self._remains(s) and self._goes_on(s)]

    def _remains(self, sequence: Sequence) -> bool:
        """It has not ended, nor failed with another branch of its request."""
        return sequence in self._slots.sequences

    @contextmanager
    def _guarded(self, *sequences: Sequence) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._give_up(*sequences)

    def _give_up(self, *sequences: Sequence) -> None:
        """In an except clause, which where it is for each token costs less than _guarded()."""
        log.exception("%d sequences failed after their step", len(sequences))
        for request in {sequence.request for sequence in sequences}:
            self._roster.fail(request, BROKEN)

    def _break_form(self, sequence: Sequence, error: ConstraintBroken) -> None:
        """Whoever asked for such a form can do something about it, and we cannot."""
        log.warning("%s", error)
        message = "the form of this answer is too complex, or no text has it"
        self._roster.fail(sequence.request, message, form=sequence.submit.form)

    def _goes_on(self, sequence: Sequence) -> bool:
        """Whether the next token was guessed right; if not, back behind those that were."""
        if sequence.ahead is None:
            return False
        if sequence.catch_up():
            return True
        self._slots.restore(sequence, sequence.fall_back())
        return False

    def _prepare(self, sequence: Sequence, turns: list[Turn]) -> None:
        if sequence.ending is not None:
            self._roster.finish(sequence, self._slots.snapshot(sequence))
        elif sequence.piece is None or self._pass_boundary(sequence):
            self._go_on(sequence, turns)

    def _pass_boundary(self, sequence: Sequence) -> bool:
        """Whether it was the prompt's last, and the answer can begin at once."""
        piece, snapshot = sequence.piece, self._slots.snapshot(sequence)
        assert piece is not None
        self._roster.events.append(BoundaryReached(sequence.request, piece, snapshot))
        sequence.next_piece()
        if sequence.in_prompt:
            return False
        self._roster.fork(sequence, snapshot)
        return not sequence.waits_for_mask

    def _go_on(self, sequence: Sequence, turns: list[Turn]) -> None:
        """After the prompt, or after a token of the answer."""
        matcher = sequence.matcher
        if matcher is not None and matcher.complete:
            self._end(sequence, Ending("stop", sequence.watcher.close()))
        elif len(sequence.generated) >= sequence.submit.max_tokens:
            self._end(sequence, Ending("length", sequence.watcher.close()))
        else:
            assert sequence.logits is not None
            mask = matcher.mask() if matcher is not None else None
            turns.append(Turn(sequence, sequence.sampler.ask(sequence.logits, mask)))

    def _choose(self, turns: Seq[Turn]) -> None:
        with self._guarded(*(turn.sequence for turn in turns)):
            choose([turn.choice for turn in turns], self._team)
        for turn in turns:
            if self._remains(turn.sequence):
                try:
                    turn.token = turn.sequence.sampler.take(turn.choice)
                except Exception:
                    self._give_up(turn.sequence)

    def _score(self, turns: Seq[Turn]) -> None:
        """Tokens that were chosen, where that is asked for."""
        scored = [(turn, turn.token) for turn in turns if turn.is_scored and turn.token is not None]
        if not scored:
            return
        sampled = [(turn.sequence, token) for turn, token in scored]
        with self._guarded(*(sequence for sequence, _ in sampled)):
            found = score_sampled(sampled, self._forbidden, self._team)
            for (turn, _), logprob in zip(scored, found, strict=True):
                turn.logprob = logprob

    def _answer(self, turn: Turn) -> None:
        """With the token that was chosen."""
        sequence, token = turn.sequence, turn.token
        if token is None:  # whole without a form, else the beginning of what it had to be
            reason: FinishReason = "stop" if sequence.matcher is None else "length"
            self._end(sequence, Ending(reason, sequence.watcher.close()))
            return
        if turn.is_scored and turn.logprob is None:
            raise ValueError("the logits are not finite, or every id is forbidden")
        sequence.sampled += 1
        if token in sequence.submit.stop_ids:
            self._end(sequence, Ending("stop", sequence.watcher.close(), token, turn.logprob))
            return
        watched = sequence.watcher.push(token)
        self._keep_clean_point(sequence, watched)
        sequence.say(token)
        where = sequence.request, sequence.branch
        self._roster.events.append(TokenSampled(*where, token, watched.text, turn.logprob))
        if watched.stopped:
            self._rewind(sequence, watched)
            return
        sequence.pending = (token,)
        if sequence.matcher is not None:
            sequence.matcher.advance(token)  # and says, once this token is fed, whether it ends
        elif len(sequence.generated) >= sequence.submit.max_tokens:
            sequence.ending = Ending("length", sequence.watcher.close())

    def _end(self, sequence: Sequence, ending: Ending) -> None:
        """With nothing left to feed, unless guesses were."""
        sequence.ending = ending
        if sequence.ahead is None:
            self._roster.finish(sequence, self._slots.snapshot(sequence))

    def _keep_clean_point(self, sequence: Sequence, watched: Watched) -> None:
        """Copy the state out just before the token with which text begins to be held back."""
        index = len(sequence.generated)
        if watched.clean > index:
            sequence.clean = None
        elif watched.clean == index:
            sequence.clean = self._clean_point(sequence, index)

    def _clean_point(self, sequence: Sequence, index: int) -> CleanPoint:
        if sequence.ahead is None:
            return CleanPoint(index, self._slots.snapshot(sequence))
        return CleanPoint(index - len(sequence.ahead.tail), sequence.before_ahead())

    def _rewind(self, sequence: Sequence, watched: Watched) -> None:
        """A stop string is complete: back to before it began, plus the text before it."""
        clean = sequence.clean
        assert clean is not None
        sequence.ending = Ending("stop", "")
        tail = (*sequence.generated[clean.generated : watched.clean], *watched.remainder)
        if not tail:
            self._roster.finish(sequence, clean.snapshot)
            return
        self._slots.restore(sequence, clean.snapshot.state)
        sequence.restart_from(clean.snapshot, tail)

"""The engine: step() = schedule → forward → sample → events. No threads, no queues in here."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from time import monotonic

import torch
from torch import Tensor

from models.base import Model
from server.engine.line import Line
from server.engine.messages import (
    Admitted,
    BoundaryReached,
    Event,
    Failed,
    FinishReason,
    PromptScored,
    Submit,
    TokenSampled,
    Watched,
)
from server.engine.sampler import Sampler, forbidden_tensor
from server.engine.scheduler import Feed, schedule
from server.engine.scores import score_prompts, score_sampled
from server.engine.sequence import CleanPoint, Ending, Sequence
from server.engine.slots import Slots
from server.engine.snapshot import Snapshot

log = logging.getLogger(__name__)


class Engine:
    """Continuous batching over `max_slots` sequences of one model.

    Everything happens in step(); between two steps every sequence is either waiting for a
    slot or in one, with its state, its fed ids and the logits that follow consistent.
    forbidden_ids: ids that are never sampled. prefill_chunk: prompt tokens per step, in all.
    drafted_tokens: up to so many decoding tokens in all, a step is filled up with drafts; the
    model's logits must not depend on how tokens are cut into steps.
    max_wait_s: how long a request of priority 0 may wait for its first slot; 0 is no limit.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_slots: int,
        prefill_chunk: int,
        forbidden_ids: Iterable[int] = (),
        drafted_tokens: int = 1,
        max_wait_s: float = 0,
    ) -> None:
        self._model = model
        self._slots = Slots(model, max_slots)
        self._prefill_chunk = prefill_chunk
        self._forbidden = forbidden_tensor(list(forbidden_ids))
        self._drafted_tokens = drafted_tokens
        self._line = Line()
        self._max_wait_s = max_wait_s
        self._order = count()
        self._events: list[Event] = []
        self.fed = (0, 0)  # sequences and tokens, by the last step

    @property
    def idle(self) -> bool:
        return not self._line and not self._slots.sequences

    @property
    def occupied(self) -> int:
        """Slots in use."""
        return len(self._slots.sequences)

    @property
    def slots(self) -> int:
        """Slots in all."""
        return self._slots.capacity

    def submit(self, submit: Submit) -> None:
        """Queue a request; its branches fork off where its prompt has been fed."""
        try:
            branches = 1 if any(submit.pieces) else len(submit.branches)
            for sequence in self._branches(submit, range(branches)):
                sequence.waiting_since = monotonic()
                self._line.add(sequence)
        except Exception:
            log.exception("a request could not be set up")
            self._fail(submit.request, "this answer could not be started")

    def cancel(self, request: str) -> None:
        """End a request's sequences; the next step() reports them Finished."""
        for sequence in [s for s in self._line if s.request == request]:
            if sequence.sampled:  # it gave its slot away
                if sequence.ending is None:
                    self._end_cancelled(sequence)
            else:
                self._line.remove(sequence)
                self._report_finish(sequence, Ending("cancelled", ""), None)
        for sequence in [s for s in self._slots.sequences if s.request == request]:
            if sequence.in_prompt:
                self._slots.remove(sequence)
                self._report_finish(sequence, Ending("cancelled", ""), None)
            elif sequence.ending is None:
                self._end_cancelled(sequence)

    def _end_cancelled(self, sequence: Sequence) -> None:
        """With the last published token still to be fed."""
        try:
            sequence.ending = Ending("cancelled", sequence.watcher.close())
        except Exception:
            log.exception("a sequence failed when it was cancelled")
            self._fail(sequence.request, "the computation of this answer failed")

    def abandon(self, message: str) -> list[Event]:
        """Give every sequence up; returns what was still to be reported, and their Failed."""
        given_up = {s.request for s in (*self._line, *self._slots.sequences)}
        events, self._events = self._events, []
        self._line.clear()
        self._slots.sequences.clear()
        return [*events, *(Failed(request, message) for request in given_up)]

    def step(self) -> list[Event]:
        """Advance every sequence that can be; returns what happened, in order."""
        self._admit()
        feeds = schedule(self._slots.sequences, self._prefill_chunk)
        self.fed = len(feeds), sum(feed.count for feed in feeds)
        try:
            self._forward(feeds)
        except Exception:
            log.exception("a step over %d sequences failed", len(feeds))
            for request in {feed.sequence.request for feed in feeds}:
                self._fail(request, "the computation of this answer failed")
        for sequence in self._advanceable():
            if sequence in self._slots.sequences:
                self._advance_safely(sequence)
                self._settle(sequence)
        events, self._events = self._events, []
        return events

    def _advanceable(self) -> list[Sequence]:
        """Those with nothing left to feed. A slow mask holds back others only if all wait."""
        ready = [s for s in self._slots.sequences if s.ready]
        prompt = [s for s in ready if not s.waits_for_mask]
        return prompt if prompt or len(ready) < self.occupied else ready

    def _branches(self, submit: Submit, branches: Iterable[int]) -> list[Sequence]:
        samplings = ((branch, submit.branches[branch].sampling) for branch in branches)
        return [
            Sequence(
                submit,
                branch,
                Sampler(sampling, self._forbidden, submit.stop_ids),
                next(self._order),
            )
            for branch, sampling in samplings
        ]

    def _admit(self) -> None:
        self._give_up_waiting()
        while self._line and self._make_room(self._line.priority):
            sequence = self._line.pop()
            if sequence.waiting_since is not None:
                sequence.waiting_since = None
                self._events.append(Admitted(sequence.request))
            self._slots.add(sequence)

    def _make_room(self, priority: int) -> bool:
        """A slot is free for a sequence of this priority, which may take that of a later one."""
        if self._slots.free:
            return True
        last = max(self._slots.sequences, key=lambda s: (s.priority, s.order))
        if last.priority <= priority:
            return False
        self._slots.park(last)
        self._line.put_first(last)
        return True

    def _give_up_waiting(self) -> None:
        if not self._max_wait_s:
            return
        begin = monotonic() - self._max_wait_s
        late = [s for s in self._line if s.waiting_since is not None and s.waiting_since < begin]
        for request in {s.request for s in late if not s.priority}:
            self._fail(request, "there was no slot for this answer in time", waited=True)

    def _forward(self, feeds: list[Feed]) -> None:
        if not feeds:
            return
        drafts = self._drafts(feeds)
        if any(drafts):
            self._forward_ahead(feeds, drafts)
            return
        tokens = [t for feed in feeds for t in feed.sequence.pending[: feed.count]]
        lengths = [feed.count for feed in feeds]
        state = self._slots.lead([feed.sequence for feed in feeds])
        every = any(feed.sequence.scored for feed in feeds)
        logits = self._model.forward(torch.tensor(tokens), lengths, state, every=every)
        if every:
            self._score_prompts(feeds, logits)
            logits = logits[torch.tensor(lengths, device=logits.device).cumsum(0) - 1]
        for feed, row in zip(feeds, logits.cpu(), strict=True):
            feed.sequence.feed(feed.count, row)

    def _drafts(self, feeds: list[Feed]) -> list[tuple[int, ...]]:
        """Guesses of what follows, one for each feed, where there is room for them."""
        room = self._drafted_tokens - len(feeds)
        if room <= 0 or not all(feed.sequence.decoding for feed in feeds):
            return []
        return [feed.sequence.draft(room // len(feeds)) for feed in feeds]

    def _forward_ahead(self, feeds: list[Feed], drafts: list[tuple[int, ...]]) -> None:
        sequences = [feed.sequence for feed in feeds]
        fed = [(*s.pending, *draft) for s, draft in zip(sequences, drafts, strict=True)]
        state = self._slots.lead(sequences)
        copies = [
            self._slots.copy(s) if d else None for s, d in zip(sequences, drafts, strict=True)
        ]
        lengths = [len(ids) for ids in fed]
        tokens = torch.tensor([token for ids in fed for token in ids])
        logits = self._model.forward(tokens, lengths, state, every=True)
        rows = logits.cpu().split_with_sizes(lengths)
        for sequence, draft, copy, own in zip(sequences, drafts, copies, rows, strict=True):
            if copy is None:
                sequence.feed(1, own[0])
            else:
                sequence.go_ahead(copy, draft, own)

    def _settle(self, sequence: Sequence) -> None:
        """Go through what was guessed as far as it comes true, and back behind the rest."""
        while sequence.ahead is not None and sequence in self._slots.sequences:
            if sequence.catch_up():
                self._advance_safely(sequence)
            else:
                self._slots.restore(sequence, sequence.fall_back())

    def _score_prompts(self, feeds: list[Feed], logits: Tensor) -> None:
        """`logits` [T,V] after every token of all feeds."""
        for sequence, scores in score_prompts(feeds, logits, self._forbidden):
            if scores is None:
                self._fail(sequence.request, "the computation of this answer failed")
            else:
                self._events.append(PromptScored(sequence.request, scores))

    def _advance_safely(self, sequence: Sequence) -> None:
        try:
            self._advance(sequence)
        except Exception:
            log.exception("a sequence failed after its step")
            self._fail(sequence.request, "the computation of this answer failed")

    def _advance(self, sequence: Sequence) -> None:
        """A sequence with nothing left to feed: next piece, next token, or the end."""
        if sequence.ending is not None:
            self._finish(sequence, self._slots.snapshot(sequence))
        elif sequence.piece is not None:
            self._reach_boundary(sequence)
        else:
            self._go_on(sequence)

    def _reach_boundary(self, sequence: Sequence) -> None:
        piece, snapshot = sequence.piece, self._slots.snapshot(sequence)
        assert piece is not None
        self._events.append(BoundaryReached(sequence.request, piece, snapshot))
        sequence.next_piece()
        if not sequence.in_prompt:
            self._fork(sequence, snapshot)
            if not sequence.waits_for_mask:
                self._go_on(sequence)

    def _fork(self, sequence: Sequence, snapshot: Snapshot) -> None:
        """Queue the prompt's other branches, first in line, from where it ends."""
        rest = replace(sequence.submit, start=snapshot, pieces=())
        forks = self._branches(rest, range(1, len(rest.branches)))
        for fork in reversed(forks):
            self._line.put_first(fork)

    def _go_on(self, sequence: Sequence) -> None:
        """After the prompt, or after a token of the answer."""
        if sequence.matcher is not None and sequence.matcher.complete:
            self._end(sequence, Ending("stop", sequence.watcher.close()))
        elif len(sequence.generated) >= sequence.submit.max_tokens:
            self._end(sequence, Ending("length", sequence.watcher.close()))
        else:
            self._sample(sequence)

    def _sample(self, sequence: Sequence) -> None:
        assert sequence.logits is not None
        mask = sequence.matcher.mask() if sequence.matcher is not None else None
        token = sequence.sampler.sample(sequence.logits, mask)
        if token is None:  # whole without a form, else the beginning of what it had to be
            reason: FinishReason = "stop" if mask is None else "length"
            self._end(sequence, Ending(reason, sequence.watcher.close()))
            return
        logprob = score_sampled(sequence, token, self._forbidden)
        sequence.sampled += 1
        if token in sequence.submit.stop_ids:
            self._end(sequence, Ending("stop", sequence.watcher.close(), token, logprob))
            return
        watched = sequence.watcher.push(token)
        self._keep_clean_point(sequence, watched)
        sequence.say(token)
        where = sequence.request, sequence.branch
        self._events.append(TokenSampled(*where, token, watched.text, logprob))
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
            self._finish(sequence, self._slots.snapshot(sequence))

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
            self._finish(sequence, clean.snapshot)
            return
        self._slots.restore(sequence, clean.snapshot.state)
        sequence.restart_from(clean.snapshot, tail)

    def _finish(self, sequence: Sequence, snapshot: Snapshot) -> None:
        assert sequence.ending is not None
        self._slots.remove(sequence)
        self._report_finish(sequence, sequence.ending, snapshot)

    def _report_finish(self, sequence: Sequence, ending: Ending, snapshot: Snapshot | None) -> None:
        branches = len(sequence.submit.branches)
        unforked = range(branches) if sequence.in_prompt else (sequence.branch,)
        self._events += (
            ending.report(sequence.request, branch, sequence.sampled, snapshot)
            for branch in unforked
        )

    def _fail(self, request: str, message: str, *, waited: bool = False) -> None:
        for sequence in [s for s in self._slots.sequences if s.request == request]:
            self._slots.remove(sequence)
        for sequence in [s for s in self._line if s.request == request]:
            self._line.remove(sequence)
        self._events.append(Failed(request, message, waited))

"""The engine: step() = schedule → forward → sample → events. No threads, no queues in here."""

import logging
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from models.base import Logits, Model, hosted, step_of
from server.engine.answering import Answering
from server.engine.chooser import team
from server.engine.messages import Event, PromptScored, Submit
from server.engine.roster import BROKEN, Roster
from server.engine.sampler import forbidden_tensor
from server.engine.scheduler import Feed, schedule
from server.engine.scores import score_prompts
from server.engine.sequence import Sequence
from server.engine.slots import Slots

log = logging.getLogger(__name__)


class Engine:
    """Continuous batching over `max_slots` sequences of one model.

    Everything happens in step(); between two steps every sequence is either waiting for a
    slot or in one, with its state, its fed ids and the logits that follow consistent.
    forbidden_ids: ids that are never sampled. prefill_chunk: prompt tokens per step, in all.
    drafted_tokens: up to so many decoding tokens in all, a step is filled up with drafts; the
    model's logits must not depend on how tokens are cut into steps.
    max_wait_s: how long a request of priority 0 may wait for its first slot; 0 is no limit.
    threads: that choose tokens, the caller of step() among them; None is torch's number of them.
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
        threads: int | None = None,
    ) -> None:
        self._model, self._step = model, step_of(model)
        self._slots = Slots(model, max_slots)
        self._prefill_chunk = prefill_chunk
        self._forbidden = forbidden_tensor(list(forbidden_ids))
        self._drafted_tokens = drafted_tokens
        self._team = team(min(threads or torch.get_num_threads(), max_slots))
        self._roster = Roster(self._slots, self._forbidden, max_wait_s)
        self._answering = Answering(self._roster, self._forbidden, self._team)
        self.fed = (0, 0)  # sequences and tokens, by the last step

    @property
    def idle(self) -> bool:
        return self._roster.idle

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
        self._roster.queue(submit)

    def cancel(self, request: str) -> None:
        """End a request's sequences; the next step() reports them Finished."""
        self._roster.cancel(request)

    def abandon(self, message: str) -> list[Event]:
        """Give every sequence up; returns what was still to be reported, and their Failed."""
        self._roster.abandon(message)
        return self._roster.take_events()

    def step(self) -> list[Event]:
        """Advance every sequence that can be; returns what happened, in order."""
        self._roster.admit()
        feeds = schedule(self._slots.sequences, self._prefill_chunk)
        self.fed = len(feeds), sum(feed.count for feed in feeds)
        try:
            self._forward(feeds)
        except Exception:
            log.exception("a step over %d sequences failed", len(feeds))
            for request in {feed.sequence.request for feed in feeds}:
                self._roster.fail(request, BROKEN)
        self._answering.advance(self._advanceable())
        return self._roster.take_events()

    def _advanceable(self) -> list[Sequence]:
        """Those with nothing left to feed. A slow mask holds back others only if all wait."""
        ready = [s for s in self._slots.sequences if s.ready]
        prompt = [s for s in ready if not s.waits_for_mask]
        return prompt if prompt or len(ready) < self.occupied else ready

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
        if every:
            logits = self._model.forward(torch.tensor(tokens), lengths, state, every=True)
            self._score_prompts(feeds, logits)
            last = torch.tensor(lengths, device=logits.device).cumsum(0) - 1
            rows: Logits = hosted(logits[last]).numpy()
        else:
            rows = self._step(tokens, lengths, state)
        for feed, row in zip(feeds, rows, strict=True):
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
        tokens = [token for ids in fed for token in ids]
        logits = self._step(tokens, lengths, state, every=True)
        rows = np.split(logits, np.cumsum(lengths)[:-1])
        for sequence, draft, copy, own in zip(sequences, drafts, copies, rows, strict=True):
            if copy is None:
                sequence.feed(1, own[0])
            else:
                sequence.go_ahead(copy, draft, own)

    def _score_prompts(self, feeds: list[Feed], logits: Tensor) -> None:
        """`logits` [T,V] after every token of all feeds."""
        for sequence, scores in score_prompts(feeds, logits, self._forbidden, self._team):
            if scores is None:
                self._roster.fail(sequence.request, BROKEN)
            else:
                self._roster.events.append(PromptScored(sequence.request, scores))

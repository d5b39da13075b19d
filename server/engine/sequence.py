"""One sequence on its way through the engine: prefill, decode, and the clean end."""

from collections import deque
from dataclasses import dataclass

import torch

from models.base import Logits, State
from server.engine.draft import LONGEST_PAST, Ahead, Drafter
from server.engine.messages import Finished, FinishReason, Submit, TokenLogprob
from server.engine.sampler import Sampler
from server.engine.snapshot import FedIds, Snapshot


@dataclass(slots=True)
class CleanPoint:
    """The snapshot after `generated` tokens of the answer, kept while text is held back."""

    generated: int
    snapshot: Snapshot


@dataclass(slots=True)
class Ending:
    """Why a sequence ends and what its Finished will say, while its last tokens are fed."""

    reason: FinishReason
    text: str
    stop_token: int | None = None
    logprob: TokenLogprob | None = None

    def report(
        self, request: str, branch: int, sampled: int, snapshot: Snapshot | None
    ) -> Finished:
        stopped = self.stop_token, self.logprob
        return Finished(request, branch, self.reason, self.text, sampled, snapshot, *stopped)


class Sequence:
    """State machine of one branch. `pending` is what the next steps feed it.

    Pieces of the prompt first, then one sampled token at a time; a sampled token becomes
    pending only when it does not end the answer, so a stop token is never fed.
    """

    def __init__(self, submit: Submit, branch: int, sampler: Sampler, order: int) -> None:
        self.order = order  # of arrival
        self.submit = submit
        self.branch = branch
        self.sampler = sampler
        self.watcher = submit.branches[branch].watcher
        self.matcher = submit.branches[branch].matcher
        self.pieces = deque(enumerate(submit.pieces))
        self.start: State | None = submit.start.state if submit.start else None
        self.waiting_since: float | None = None  # in seconds, of one that never had a slot
        self.pending: tuple[int, ...] = ()
        self.piece: int | None = None
        self.fed = submit.start.fed if submit.start else FedIds()
        self.logits: Logits | None = submit.start.logits.numpy() if submit.start else None
        self.generated: list[int] = []
        self.sampled = 0
        self.clean: CleanPoint | None = None
        self.ending: Ending | None = None
        self.ahead: Ahead | None = None
        self._drafter: Drafter | None = None
        self._unrecorded: list[int] = []
        self.next_piece()

    @property
    def request(self) -> str:
        return self.submit.request

    @property
    def priority(self) -> int:
        return self.submit.place.priority

    @property
    def in_prompt(self) -> bool:
        """Still feeding the prompt, for all branches that will fork off at its end."""
        return self.piece is not None

    @property
    def scored(self) -> bool:
        """What is fed next is a prompt whose tokens' likelihoods are asked for."""
        return self.in_prompt and self.submit.prompt_logprobs is not None

    @property
    def decoding(self) -> bool:
        """Fed one sampled token per step (as against a bounded chunk of known tokens)."""
        return self.piece is None and len(self.pending) == 1

    @property
    def ready(self) -> bool:
        """Nothing left to feed: the next token can be sampled, or the ending completed."""
        return not self.pending

    @property
    def waits_for_mask(self) -> bool:
        """The next token cannot be sampled yet, as what it may be is still being computed."""
        sampled_next = self.ready and self.ending is None and not self.in_prompt
        return sampled_next and self.matcher is not None and not self.matcher.ready

    def next_piece(self) -> None:
        """Make the next non-empty piece of the prompt pending, if there is one."""
        self.piece = None
        while self.pieces and not self.pending:
            self.piece, self.pending = self.pieces.popleft()
        if not self.pending:
            self.piece = None

    def feed(self, count: int, logits: Logits) -> None:
        """Account for a step that fed `count` pending tokens and gave `logits` [V]."""
        self._unrecorded += self.pending[:count]
        self.pending = self.pending[count:]
        self.logits = logits

    def draft(self, most: int) -> tuple[int, ...]:
        """A guess of the ids behind the pending one, of which at least one is sampled after it."""
        if self.matcher is not None:  # a late mask would leave what was fed in doubt
            return ()
        if self._drafter is None:
            past = self.fed.last(LONGEST_PAST)
            self._drafter = Drafter([*past, *self._unrecorded, *self.pending])
        left = self.submit.max_tokens - len(self.generated) - 1
        return self._drafter.draft(min(most, left)) if self.ending is None and left > 0 else ()

    def say(self, token: int) -> None:
        """Add a token to the answer."""
        self.generated.append(token)
        if self._drafter is not None:
            self._drafter.push(token)

    def go_ahead(self, state: State, ids: tuple[int, ...], logits: Logits) -> None:
        """Account for a step that fed the pending id and `ids`; logits after each of them."""
        before, fed = self.logits, len(self._unrecorded)
        self.ahead = Ahead(state, before, fed, self.pending, ids, logits[1:])
        self.feed(1, logits[0])

    def catch_up(self) -> bool:
        """Take the pending id as fed, if it is what was guessed."""
        ahead = self.ahead
        assert ahead is not None
        last = len(ahead.ids) == 1
        if self.pending != ahead.ids[:1]:
            return False
        self.feed(1, ahead.logits[0])
        ahead.tail, ahead.ids, ahead.logits = (
            (*ahead.tail, ahead.ids[0]),
            ahead.ids[1:],
            ahead.logits[1:],
        )
        if last:
            self.ahead = None
        return True

    def fall_back(self) -> State:
        """Have what was sampled fed again, from the state before the guess, which is returned."""
        ahead, self.ahead = self.ahead, None
        assert ahead is not None
        del self._unrecorded[ahead.fed :]
        self.logits, self.pending = ahead.before, (*ahead.tail, *self.pending)
        return ahead.state

    def before_ahead(self) -> Snapshot:
        """Of the state before the guess."""
        ahead = self.ahead
        assert ahead is not None
        assert ahead.before is not None
        fed = self.fed.then(self._unrecorded[: ahead.fed])
        return Snapshot(ahead.state, torch.from_numpy(ahead.before.copy()), fed)

    def record(self) -> FedIds:
        """The ids fed so far, as they go into a snapshot."""
        self.fed = self.fed.then(self._unrecorded)
        self._unrecorded = []
        return self.fed

    def restart_from(self, snapshot: Snapshot, tail: tuple[int, ...]) -> None:
        """Go back to `snapshot` and feed `tail` instead of what was fed since."""
        self.fed, self.logits, self.pending = snapshot.fed, snapshot.logits.numpy(), tail
        self._unrecorded = []
        self.ahead = None

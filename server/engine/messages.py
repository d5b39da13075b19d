"""Everything that crosses the thread line: commands down, events up, all frozen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # torch is behind it, which whoever only names these values should not wait for
    import numpy as np
    from numpy.typing import NDArray

    from server.engine.snapshot import Snapshot

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; the neutral value of each field switches it off.

    Penalties see generated tokens only. Counts are multiplied by `penalty_decay` with every
    generated token. `seed` fixes the random numbers of this sequence and of no other.
    typical_p: mass of the ids kept whose surprise is nearest to the expected one. min_tokens: so
    many are generated before any of the stop ids. bad_words: sequences of ids, none of which is
    generated. allowed_ids: the only ones that are; None allows all.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    penalty_decay: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    bad_words: tuple[tuple[int, ...], ...] = ()
    allowed_ids: tuple[int, ...] | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a token was where it stands: natural logarithm, -inf for an id of padding.

    Of the model's own logits, before temperature, penalties and bias. top: the likeliest ids
    there, likeliest first, with their logarithms.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watcher says of one more token.

    text: what may be delivered now. clean: how many generated tokens lie wholly before text
    that is still held back (all of them when nothing is held). stopped: the answer ends here,
    and the text after the `clean` tokens that still belongs to it is `remainder`, as ids.
    """

    text: str
    clean: int
    stopped: bool = False
    remainder: tuple[int, ...] = ()


class Watcher(Protocol):
    """The text side of a sequence, called in the engine thread with every sampled token."""

    def push(self, token: int) -> Watched: ...

    def close(self) -> str:
        """The text still held back, for an answer that ends without a stop."""
        ...


class Matcher(Protocol):
    """What may come next in an answer that is constrained; one per branch.

    Called in the engine thread, from the answer's first token on. It computes in threads of its
    own; what breaks there is raised by `complete` and mask().
    """

    @property
    def ready(self) -> bool:
        """Nothing would wait for it."""
        ...

    @property
    def complete(self) -> bool:
        """The answer is what it has to be, and cannot go on."""
        ...

    def mask(self) -> "NDArray[np.int32]":
        """Bits, int32 [ceil(V/32)], of the tokens that may come next; valid until advance().

        The id that ends a text is among them where the answer may end.
        """
        ...

    def advance(self, token: int) -> None:
        """Go on behind a token that the mask allows."""
        ...


@dataclass(frozen=True, slots=True)
class Branch:
    """One answer to a prompt, and what it must fit, if anything."""

    sampling: Sampling
    watcher: Watcher
    matcher: Matcher | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request stands in the line: callers take turns within a priority.

    priority: the lower number comes first, and takes slots from higher ones. 0 is for whoever
    waits for an answer, more for what is computed in the background.
    """

    caller: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Submit:
    """Continue from `start` (None: from nothing) with `pieces`, then sample each branch.

    A boundary, and so a snapshot, lies at the end of every piece; no step crosses one.
    There is at least one token to feed or a `start` whose logits can be sampled from.
    max_tokens 0 feeds the prompt and samples nothing; without stop_ids no id ends an answer.
    logprobs: report every sampled token's likelihood beside that many alternatives (None: not at
    all); prompt_logprobs: the same for every token of `pieces`. form: the field that asked for what
    the matchers of the branches say.
    """

    request: str
    start: "Snapshot | None"
    pieces: tuple[tuple[int, ...], ...]
    branches: tuple[Branch, ...]
    max_tokens: int
    stop_ids: frozenset[int]
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    place: Place = Place()
    form: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End a request's sequences; each still ends in a Finished with its snapshot."""

    request: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the engine thread; sequences in flight fail."""


Command = Submit | Cancel | Stop


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request has got its first slot; no part of the stream of events."""

    request: str


@dataclass(frozen=True, slots=True)
class BoundaryReached:
    """The prompt has been fed up to the end of piece `piece`."""

    request: str
    piece: int
    snapshot: "Snapshot"


@dataclass(frozen=True, slots=True)
class PromptScored:
    """The likelihoods of the prompt's next tokens, in order, before any of its boundaries.

    None for the first token of a text, which nothing precedes.
    """

    request: str
    scores: tuple[TokenLogprob | None, ...]


@dataclass(frozen=True, slots=True)
class TokenSampled:
    """A token of the answer, never the one that stops it; `text` may lag behind or be empty."""

    request: str
    branch: int
    token: int
    text: str
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a branch. `snapshot` has been fed exactly the answer's text.

    text: what had been held back. sampled: every token sampled, a stop token included.
    stop_token: the one of stop_ids that ended the answer, and its likelihood if asked for.
    snapshot is None only when a request was cancelled before anything was computed for it.
    """

    request: str
    branch: int
    reason: FinishReason
    text: str
    sampled: int
    snapshot: "Snapshot | None"
    stop_token: int | None = None
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The last event of a request whose computation broke; `message` names no user text.

    waited: nothing broke, but the request never got a slot within the time it may wait. form: the
    field that asked for a form which an answer can neither go on nor end in.
    """

    request: str
    message: str
    waited: bool = False
    form: str | None = None


Event = Admitted | BoundaryReached | PromptScored | TokenSampled | Finished | Failed

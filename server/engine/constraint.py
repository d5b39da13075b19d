"""Constrained answers: which tokens may come next, by llguidance over a tokenizer's bytes.

A mask is packed bits, int32 [ceil(V/32)], for the V rows of a model's logits: bit i % 32 of word
i // 32 is set where token i may come next. It is computed in a thread of its own as soon as the
token before it is known, while the model computes its logits.
Source: https://github.com/guidance-ai/llguidance (`LLTokenizer`, `LLMatcher`).
"""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import llguidance
import numpy as np
from numpy.typing import NDArray

from models.tokenizer import Tokenizer

Mask = NDArray[np.int32]

_THREADS = min(4, os.cpu_count() or 1)
_WORKERS = ThreadPoolExecutor(_THREADS, thread_name_prefix="masks")
_EXECUTOR = llguidance.LLExecutor(_THREADS)
_SPECIAL = b"\xff"  # marks a token that no text spells
_WHOLE = frozenset({"NoExtension", "NoExtensionBias", "EndOfSentence"})
# What one step of a hostile grammar may cost: some 15 ms, where an ordinary one takes microseconds.
_LIMITS = llguidance.LLParserLimits(
    initial_lexer_fuel=500_000,
    step_lexer_fuel=100_000,
    step_max_items=4_000,
    max_items_in_row=1_000,  # about 250 optional keys in one object
    max_lexer_states=50_000,  # of about 2 kB
    max_grammar_size=200_000,
    verbose_errors=False,  # errors repeat no text
)


class GrammarError(ValueError):
    """A grammar that cannot be used; the message is llguidance's, in one line."""


class ConstraintBroken(RuntimeError):
    """An answer that can neither go on nor end within its grammar."""


class Vocabulary:
    """The bytes of a model's tokens, as llguidance wants them; takes a moment to make.

    vocab_size: rows of the model's logits, padding included.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self.words = (vocab_size + 31) // 32
        self.tokenizer = llguidance.LLTokenizer(_TokenTable(tokenizer, vocab_size))  # type: ignore[arg-type]

    def compile(self, source: str) -> "Grammar":
        """A grammar in llguidance's JSON form, that a text can begin. Raises GrammarError."""
        start = llguidance.LLMatcher(self.tokenizer, source, log_level=0, limits=_LIMITS)
        if start.is_error():
            raise GrammarError(_one_line(start.get_error()))
        grammar = Grammar(start, self.words)
        try:
            if not grammar.matcher().mask().any():
                raise GrammarError("no text fits it")
        except ConstraintBroken:
            raise GrammarError("it is too complex, or no text fits it") from None
        return grammar


class Grammar:
    """A compiled grammar; every answer under it takes a matcher of its own."""

    def __init__(self, start: llguidance.LLMatcher, words: int) -> None:
        self._start = start
        self._words = words

    def matcher(self) -> "TokenMatcher":
        return TokenMatcher(self._start.deep_copy(), self._words)


class TokenMatcher:
    """How far one answer has come within its grammar; see server.engine.messages.Matcher."""

    def __init__(self, matcher: llguidance.LLMatcher, words: int) -> None:
        self._matcher = matcher
        # llguidance lets other threads of Python run only while it advances two matchers or more.
        self._beside = matcher.deep_copy()
        self._mask: Mask = np.zeros(words, dtype=np.int32)
        self._work: Future[None] = _WORKERS.submit(self._compute)

    @property
    def ready(self) -> bool:
        return self._work.done()

    @property
    def complete(self) -> bool:
        self._work.result()
        return self._matcher.is_stopped()

    def mask(self) -> Mask:
        self._work.result()
        return self._mask

    def advance(self, token: int) -> None:
        self._work.result()
        self._work = _WORKERS.submit(self._go_on, token)

    def _go_on(self, token: int) -> None:
        _EXECUTOR.consume_token_par([(self._matcher, token), (self._beside, token)])
        self._check()
        if not self._matcher.is_stopped():
            self._compute()

    def _compute(self) -> None:
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        self._check()

    def _check(self) -> None:
        """A grammar that has become too complex stops too, with the answer incomplete."""
        if self._matcher.is_error() or (
            self._matcher.is_stopped() and self._matcher.stop_reason() not in _WHOLE
        ):
            raise ConstraintBroken(f"a constraint broke: {self._matcher.stop_reason()}")


class _TokenTable:
    """A tokenizer in the form of llguidance.TokenizerWrapper, which LLTokenizer reads."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self.eos_token_id = tokenizer.eos_id
        self.special_token_ids: Sequence[int] = ()
        self.tokens = [tokenizer.token_bytes(i) for i in range(vocab_size)]
        self.tokens[tokenizer.eos_id] = _SPECIAL + tokenizer.eos_name.encode()
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


def _one_line(message: str) -> str:
    return " ".join(message.split())

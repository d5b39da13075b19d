"""Grammars compiled for a model's vocabulary: off the event loop, within limits, and kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TypeVar

from models.tokenizer import Tokenizer
from server.chat.constraint.grammar import Alone, GrammarText
from server.chat.constraint.problems import INVALID, UNSUPPORTED
from server.engine.constraint import Grammar, GrammarError, Vocabulary
from server.errors import InvalidRequest, Overloaded

_KEPT = 64
_PATIENCE_S = 5.0
_LONGEST = 1_000_000  # characters of a grammar, about those of its schema
_RETRY_AFTER_S = 5
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="grammars")

T = TypeVar("T")


class GrammarCompiler:
    """For one vocabulary, of `vocab_size` ids with padding; belongs to one event loop."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._kept: OrderedDict[str, Grammar] = OrderedDict()  # the least recently used first

    async def compile(self, text: Callable[[], GrammarText], param: str) -> Grammar:
        """The grammar that `text`, which is called in a thread, makes of a request's `param`.

        Raises InvalidRequest for what cannot be enforced or takes too long to prepare, and
        Overloaded where others that take long are before it.
        """
        if not self._tokenizer.vocab_size:
            raise InvalidRequest(
                f"{param} asks for a certain form of text, but this model writes ids, not text.",
                param=param,
                code=UNSUPPORTED,
            )
        found = await _in_thread(text, param)
        grammar = self._kept.get(found.source)
        if grammar is None:
            grammar = await _in_thread(partial(self._compile, found), param)
        self._kept[found.source] = grammar
        self._kept.move_to_end(found.source)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return grammar

    def _compile(self, text: GrammarText) -> Grammar:
        if len(text.source) > _LONGEST:
            what = f"has more than {_LONGEST:,} characters"
            raise InvalidRequest(f"{text.param} {what}.", param=text.param, code=INVALID)
        vocabulary = _vocabulary(self._tokenizer, self._vocab_size)
        for alone in text.alone:
            _check(vocabulary, alone)
        try:
            return vocabulary.compile(text.source)
        except GrammarError as error:
            raise _unenforceable(text.param, error) from None


def _check(vocabulary: Vocabulary, alone: Alone) -> None:
    try:
        vocabulary.compile(alone.source)
    except GrammarError as error:
        param = alone.blamed(partial(_compiles, vocabulary))
        raise _unenforceable(param, error) from None


def _compiles(vocabulary: Vocabulary, source: str) -> bool:
    try:
        vocabulary.compile(source)
    except GrammarError:
        return False
    return True


def _unenforceable(param: str, error: GrammarError) -> InvalidRequest:
    message = f"{param} cannot be enforced: {error}."
    return InvalidRequest(message, param=param, code=UNSUPPORTED)


async def _in_thread(work: Callable[[], T], param: str) -> T:
    """What `work` returns, unless it takes too long; it is not interrupted then."""
    begun = False

    def begin() -> T:
        nonlocal begun
        begun = True
        return work()

    try:
        waiting = asyncio.get_running_loop().run_in_executor(_THREADS, begin)
        return await asyncio.wait_for(waiting, _PATIENCE_S)
    except TimeoutError:
        if not begun:
            message = "the server is busy with preparing the grammars of other requests"
            raise Overloaded(message, retry_after_s=_RETRY_AFTER_S) from None
        message = f"{param} takes more than {_PATIENCE_S:.0f} s to prepare; make it simpler."
        raise InvalidRequest(message, param=param, code=INVALID) from None


_vocabularies: dict[tuple[str, int], Vocabulary] = {}
_making = Lock()


def _vocabulary(tokenizer: Tokenizer, vocab_size: int) -> Vocabulary:
    """Models and adapters with the same tokenizer share one."""
    key = tokenizer.fingerprint, vocab_size
    with _making:
        if key not in _vocabularies:
            _vocabularies[key] = Vocabulary(tokenizer, vocab_size)
        return _vocabularies[key]

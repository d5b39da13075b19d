"""Grammars are compiled beside the event loop, within a time, and kept."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from models.tokenizer import load
from server.chat.constraint import GrammarCompiler, GrammarText, answer_grammar, compiler
from server.chat.types import Constraint
from server.errors import InvalidRequest, Overloaded
from tests.doubles import ByteTokenizer

WORDS = partial(answer_grammar, Constraint("choice", '["a", "b"]', "it"), "answer")


async def test_the_same_grammar_is_compiled_once() -> None:
    grammars = GrammarCompiler(ByteTokenizer(), 257)
    first = await grammars.compile(WORDS, "it")
    assert await grammars.compile(WORDS, "it") is first
    other = partial(answer_grammar, Constraint("choice", '["a", "c"]', "it"), "answer")
    assert await grammars.compile(other, "it") is not first


async def test_the_least_recently_used_grammar_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiler, "_KEPT", 2)
    grammars = GrammarCompiler(ByteTokenizer(), 257)

    async def get(letter: str) -> object:
        text = partial(answer_grammar, Constraint("regex", letter, "it"))
        return await grammars.compile(text, "it")

    a, b = await get("a"), await get("b")
    assert await get("a") is a
    await get("c")
    assert await get("a") is a
    assert await get("b") is not b


async def test_a_model_of_ids_has_no_text_to_hold_to_a_form() -> None:
    with pytest.raises(InvalidRequest) as refused:
        await GrammarCompiler(load("ids", 100), 100).compile(WORDS, "it")
    assert refused.value.param == "it"


async def test_a_grammar_that_cannot_be_compiled_is_its_senders_mistake() -> None:
    text = partial(answer_grammar, Constraint("lark", "start: missing", "it"), "answer")
    with pytest.raises(InvalidRequest) as refused:
        await GrammarCompiler(ByteTokenizer(), 257).compile(text, "it")
    assert refused.value.param == "it"


async def test_what_takes_too_long_is_given_up_and_the_loop_runs_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiler, "_PATIENCE_S", 0.1)

    def slow() -> GrammarText:
        time.sleep(0.3)
        return WORDS()

    grammars = GrammarCompiler(ByteTokenizer(), 257)
    waiting = asyncio.create_task(grammars.compile(slow, "it"))
    beats = 0
    while not waiting.done():
        await asyncio.sleep(0.01)
        beats += 1
    assert beats >= 5
    with pytest.raises(InvalidRequest, match="to prepare"):
        await waiting
    assert await grammars.compile(WORDS, "it")


async def test_a_simple_grammar_that_waits_behind_slow_ones_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiler, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(compiler, "_THREADS", ThreadPoolExecutor(2))
    grammars = GrammarCompiler(ByteTokenizer(), 257)

    def slow() -> GrammarText:
        time.sleep(0.4)
        return WORDS()

    waiting = [asyncio.create_task(grammars.compile(slow, "it")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await grammars.compile(WORDS, "it")
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, InvalidRequest) for result in results)

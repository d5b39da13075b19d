"""Likelihoods of a message's content: of its tokens, of all of them, and of nothing else."""

import asyncio

import pytest

from server.chat.tokens import TextToken
from server.chat.turn import Turn
from server.chat.types import ReasoningDelta, TextDelta
from tests.server.chat.talking import HELLO, serving

SCRIPTS = {
    "plain": (" Hi there. é🙂", {}),
    "thoughtful": ("<think>Well, é.</think>\n\nYes, 🙂 indeed.", {}),
    "a stop string": (" Yes, indeed.\n\nUser: no", {"stop": ("deed",)}),
    "a stop across what may begin one": (" ababac", {"stop": ("abac",)}),
    "cut short": (" Hi 🙂 there", {"max_tokens": 6}),
    "cut within a thought": ("<think>Hm", {"max_tokens": 8}),
}


async def written(turn: Turn) -> tuple[str, list[TextToken]]:
    text, tokens = "", []
    async with asyncio.timeout(10):
        async for event in turn.events():
            if isinstance(event, TextDelta):
                assert event.text or event.tokens
                text += event.text
                tokens += event.tokens
                data = b"".join(token.data for token in tokens)
                assert text.encode().startswith(data)
            else:
                assert isinstance(event, ReasoningDelta) or not hasattr(event, "text")
    return text, tokens


@pytest.mark.parametrize("case", SCRIPTS)
async def test_the_tokens_are_those_of_the_content(case: str) -> None:
    script, options = SCRIPTS[case]
    async with serving(script) as server:
        text, tokens = await written(await server.start(*HELLO, logprobs=2, **options))
    assert b"".join(token.data for token in tokens).decode() == text
    assert bool(text) == (case != "cut within a thought")


async def test_every_token_is_as_likely_as_the_model_says() -> None:
    async with serving(" Hi.") as server:
        _, tokens = await written(await server.start(*HELLO, logprobs=2))
    for token in tokens:
        assert token.logprob is not None
        assert token.logprob.token == token.id
        assert token.logprob.logprob == pytest.approx(0)
        assert token.logprob.top[0] == (token.id, token.logprob.logprob)


async def test_no_tokens_come_unasked() -> None:
    async with serving(" Hi.") as server:
        _, tokens = await written(await server.start(*HELLO))
    assert tokens == []


async def test_choices_have_their_own_tokens() -> None:
    async with serving(None) as server:
        turn = await server.start(*HELLO, logprobs=0, choices=3, max_tokens=5)
        texts = dict.fromkeys(range(3), "")
        data = dict.fromkeys(range(3), b"")
        async for event in turn.events():
            if isinstance(event, TextDelta):
                texts[event.choice] += event.text
                data[event.choice] += b"".join(token.data for token in event.tokens)
    assert {number: text.encode() for number, text in texts.items()} == data

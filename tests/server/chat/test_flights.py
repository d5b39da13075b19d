"""Prompts that arrive together are read once."""

import asyncio

from tests.server.chat.talking import HELLO, read, serving, user


async def test_identical_prompts_that_arrive_together_are_read_once() -> None:
    async with serving() as server:
        turns = await asyncio.gather(*(server.start(*HELLO) for _ in range(3)))
        answers = [await read(turn) for turn in turns]
        assert sorted(answer.fed for answer in answers)[:2] == [0, 0]
        assert len({answer.text for answer in answers}) == 1


async def test_another_callers_identical_prompt_is_read_by_itself() -> None:
    async with serving() as server:
        mine, theirs = await asyncio.gather(
            server.start(*HELLO), server.start(*HELLO, caller="bob")
        )
        assert (await read(mine)).fed == (await read(theirs)).fed > 0


async def test_a_first_one_that_is_cancelled_harms_no_other() -> None:
    long = user("x" * 400)
    async with serving() as server:
        first = await server.start(long)
        others = [asyncio.create_task(server.start(long)) for _ in range(2)]
        first.cancel()
        answers = [await read(await other) for other in others]
        assert [answer.text for answer in answers] == ["Hi there."] * 2
        assert server.client.in_flight == 0


async def test_a_prompt_that_waits_takes_a_place() -> None:
    async with serving(capacity=2) as server:
        first = await server.start(user("x" * 400))
        second = asyncio.create_task(server.start(user("x" * 400)))
        await asyncio.sleep(0)
        assert server.client.room() == 0
        await read(first)
        await read(await second)


async def test_nobody_waits_for_a_prompt_in_the_background() -> None:
    async with serving() as server:
        behind = await server.start(user("x" * 400), priority=1)
        before = await server.start(user("x" * 400))
        assert before.cached_tokens == 0
        assert (await read(before)).text == (await read(behind)).text

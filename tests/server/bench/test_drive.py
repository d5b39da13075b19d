"""The order of the work, and the conversations it consists of."""

from collections.abc import Sequence

from server.bench.client import Answer, Client, Messages, Speed
from server.bench.drive import drive
from server.bench.report import KINDS, Plan
from server.bench.talk import ANSWER_TOKENS, EXCHANGES, history

PLAN = Plan(streams=(1,), history=(60, 400), answer_tokens=9, others=2, rounds=2)


class Notes(Client):
    """Answers at once, counts words as 3 tokens, and notes down who was asked what."""

    def __init__(self, name: str, asked: list[tuple[str, Messages, int]]) -> None:
        super().__init__(name, "http://nowhere")
        self._asked = asked

    async def ask(self, messages: Messages, max_tokens: int) -> Answer:
        self._asked.append((self.name, messages, max_tokens))
        words = sum(len(message["content"].split()) for message in messages)
        return Answer("Yes.", 1, 3 * words, 1.0, 2.0)

    async def speed(self, prompts: Sequence[str], max_tokens: int) -> Speed:
        for prompt in prompts:
            await self.ask([{"role": "user", "content": prompt}], max_tokens)
        return Speed(1.0, 2.0, 5, 0)


async def work(*names: str) -> list[tuple[str, Messages, int]]:
    asked: list[tuple[str, Messages, int]] = []
    await drive([Notes(name, asked) for name in names], PLAN, lambda what: None)
    return asked


def turns(asked: Sequence[tuple[str, Messages, int]]) -> list[tuple[str, Messages]]:
    return [(name, m) for name, m, tokens in asked if tokens == ANSWER_TOKENS and len(m) > 1]


async def test_every_server_gets_the_same_work() -> None:
    asked = await work("a", "b")
    after = [it for it in asked if it[2] != 1]  # lengths are taken from the first one alone
    shapes = {
        name: sorted((len(m), tokens) for other, m, tokens in after if other == name)
        for name in ("a", "b")
    }
    assert shapes["a"] == shapes["b"]


async def test_servers_take_turns_within_a_round_and_at_being_first() -> None:
    names = [name for name, messages in turns(await work("a", "b"))]
    begun = names[:: len(KINDS) - 1]
    assert begun[:4] == ["a", "b", "a", "b"]
    assert names[len(names) // 2] == "b"


async def test_histories_have_about_the_tokens_that_were_asked_for() -> None:
    asked: list[tuple[str, Messages, int]] = []
    (found,) = await drive([Notes("a", asked)], PLAN, lambda what: None)
    counts = {it.history: it.prompt_tokens for it in found.turns()}
    assert all(abs((count or 0) - wanted) <= 12 for wanted, count in counts.items()), counts


async def test_every_kind_of_turn_continues_what_it_should() -> None:
    first, follow_up, again, edit, branch = [m for _, m in turns(await work("a"))[:5]]
    assert len(first) == 2 * EXCHANGES + 1
    assert list(follow_up[: len(first)]) == list(first)
    assert again == follow_up
    assert list(edit[:-1]) == list(first[:EXCHANGES])
    assert edit[-1] != first[EXCHANGES]
    assert list(branch[:-1]) == list(first[:-1])
    assert branch[-1] != first[-1]


async def test_nothing_begins_as_anything_did_before() -> None:
    asked = [messages for _, messages, _ in await work("a", "b")]
    firsts = [m for m in asked if len(m) == 1 or m[-1]["content"] == "What comes next?"]
    begun = [m[0]["content"] for m in firsts]
    talks = PLAN.others + len(PLAN.history)
    assert len(begun) == 2 + 2 * (1 + PLAN.rounds * (len(PLAN.streams) + talks))
    assert len(set(begun)) == len(begun)


async def test_other_conversations_lie_before_the_return() -> None:
    asked = await work("a")
    shown = [len(m) for _, m, tokens in asked if tokens == ANSWER_TOKENS]
    talks = 5 * len(PLAN.history)
    assert shown[talks : talks + 2] == [1, 1]
    assert shown[talks + 2] == 2 * EXCHANGES + 5


def test_no_two_histories_share_a_message_of_their_own() -> None:
    one, other = (
        {m["content"] for m in history(20, name) if m["role"] == "user"} for name in ("1", "2")
    )
    assert len(one) == EXCHANGES
    assert not one & other

"""The same work for several servers, in turn, so that good and bad minutes fall on all of them.

No two of them work at the same time. Before the first round each answers once unmeasured.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from server.bench.client import Client, Speed
from server.bench.report import KINDS, Answers, Long, Plan, Spread, Turns, spread
from server.bench.talk import Conversation, long_conversation, long_questions, small_talk, words_for

Say = Callable[[str], None]
"""Called with what is being done now."""


_EARLY, _LATE = slice(1, 4), slice(-3, None)


@dataclass(slots=True)
class Gathered:
    """What was measured of one server.

    speeds: by streams; talks: by history; times: milliseconds by turn, of each long conversation.
    """

    speeds: defaultdict[int, list[Speed]] = field(default_factory=lambda: defaultdict(list))
    talks: defaultdict[int, list[Conversation]] = field(default_factory=lambda: defaultdict(list))
    times: list[list[float]] = field(default_factory=list)

    def decode(self) -> tuple[Answers, ...]:
        return tuple(_answers(streams, speeds) for streams, speeds in self.speeds.items())

    def turns(self) -> tuple[Turns, ...]:
        return tuple(
            Turns(history, talks[0].prompt_tokens, _times(talks))
            for history, talks in self.talks.items()
        )

    def long(self) -> Long | None:
        if not self.times:
            return None
        early, late = ([ms for one in self.times for ms in one[part]] for part in (_EARLY, _LATE))
        return Long(len(self.times[0]), spread(early), spread(late))


def _answers(streams: int, speeds: Sequence[Speed]) -> Answers:
    """Cached tokens of the round with most of them."""
    cached = [it.cached_tokens for it in speeds if it.cached_tokens is not None]
    writing = [it.writing_per_s for it in speeds if it.writing_per_s is not None]
    return Answers(
        streams,
        spread([it.tokens_per_s for it in speeds]),
        speeds[0].prompt_tokens,
        max(cached, default=None),
        writing_per_s=spread(writing) if writing else None,
    )


def _times(talks: Sequence[Conversation]) -> dict[str, Spread]:
    return {kind: spread([talk.times[kind] for talk in talks]) for kind in KINDS}


async def drive(clients: Sequence[Client], plan: Plan, say: Say) -> list[Gathered]:
    """In the order of `clients`. Raises BenchError."""
    found = [Gathered() for _ in clients]
    words = await words_for(clients[0], plan.history)
    pairs = list(zip(clients, found, strict=True))
    for client in clients:
        await client.speed(long_questions(1), plan.answer_tokens)
    for number in range(plan.rounds):
        # Each is first in turn, so that none always follows the same neighbour.
        first = number % len(pairs)
        say_round = partial(_say_round, say, number + 1, plan.rounds)
        await _round([*pairs[first:], *pairs[:first]], plan, words, say_round)
    return found


def _say_round(say: Say, number: int, rounds: int, what: str) -> None:
    say(f"round {number} of {rounds}: {what}")


async def _round(
    pairs: Sequence[tuple[Client, Gathered]], plan: Plan, words: dict[int, int], say: Say
) -> None:
    for streams in plan.streams:
        for client, found in pairs:
            say(f"{client.name}, {streams} streams")
            prompts = long_questions(streams)
            found.speeds[streams].append(await client.speed(prompts, plan.answer_tokens))
    for history in plan.history:
        for client, found in pairs:
            say(f"{client.name}, turns after {history:,} tokens")
            conversation = Conversation(client, words[history])
            await conversation.talk()
            found.talks[history].append(conversation)
    for client, found in pairs if plan.turns else ():
        say(f"{client.name}, {plan.turns} turns")
        found.times.append(await long_conversation(client, plan.turns))
    for client, found in pairs:
        say(f"{client.name}, coming back after {plan.others} other conversations")
        for _ in range(plan.others):
            await small_talk(client)
        for history in plan.history:
            await found.talks[history][-1].come_back()

"""The conversations that are measured: one history, and the turns that continue from it.

A history is four exchanges of equal length behind a name that no other conversation has, so that
nothing is known of it beforehand. Then, always with a few tokens of answer:

first       the history and a question, all of it new to the server
follow_up   the answer, and another question
regenerate  the same request again
edit        the message at half of the history replaced, what followed it dropped
branch      the history with another question
return      the next question of the follow-up, after other conversations
"""

import secrets
from collections.abc import Iterable
from itertools import count

from server.bench.client import Answer, Client, Messages

EXCHANGES = 4
ANSWER_TOKENS = 4
_TEXT = "the red fox and the old goose walk slowly along the river bank in the morning"
_WORDS = tuple(_TEXT.split())
_REPLY = "Go on."
_CONSONANTS, _VOWELS = "bcdfghjklmnpqrstvwxz", "aeiou"
_NAMES = count(secrets.randbelow(10**8))


def history(words: int, name: str) -> list[dict[str, str]]:
    """`words` over all exchanges, at least one in each."""
    messages = []
    for number in range(EXCHANGES):
        share = max(words * (number + 1) // EXCHANGES - words * number // EXCHANGES, 1)
        text = " ".join(_WORDS[i % len(_WORDS)] for i in range(share))
        # The name is in every message: they are new wherever a server looks for what it knows.
        messages += [_user(f"{name} {number}: {text}"), _assistant(_REPLY)]
    return messages


class Conversation:
    """One conversation with one server; `times` in milliseconds to the first token by kind."""

    def __init__(self, client: Client, words: int) -> None:
        self._client = client
        self._history = history(words, fresh_name())
        self._latest: list[dict[str, str]] = []
        self.prompt_tokens: int | None = None
        self.times: dict[str, float] = {}

    async def talk(self) -> None:
        """Every kind of turn but the return."""
        begun = [*self._history, _user("What comes next?")]
        answer = await self._turn("first", begun)
        self.prompt_tokens = answer.prompt_tokens
        followed = [*begun, _assistant(answer.text or _REPLY), _user("And after that?")]
        answer = await self._turn("follow_up", followed)
        await self._turn("regenerate", followed)
        await self._turn("edit", [*self._history[:EXCHANGES], _user("Who walks there?")])
        await self._turn("branch", [*self._history, _user("Where is that?")])
        self._latest = [*followed, _assistant(answer.text or _REPLY)]

    async def come_back(self) -> None:
        """The next turn, whatever happened since."""
        await self._turn("return", [*self._latest, _user("And then?")])

    async def _turn(self, kind: str, messages: Messages) -> Answer:
        answer = await self._client.ask(messages, ANSWER_TOKENS)
        self.times[kind] = answer.first_ms
        return answer


async def long_conversation(client: Client, turns: int) -> list[float]:
    """Milliseconds to the first token of each of `turns` short turns."""
    messages: list[dict[str, str]] = []
    times = []
    for number in range(turns):
        messages.append(_user(f"{fresh_name()}: and {number}?"))
        answer = await client.ask(messages, ANSWER_TOKENS)
        messages.append(_assistant(answer.text or _REPLY))
        times.append(answer.first_ms)
    return times


async def small_talk(client: Client) -> None:
    """A short conversation with somebody else."""
    await client.ask([_user(f"Hello, I am {fresh_name()}.")], ANSWER_TOKENS)


async def words_for(client: Client, tokens: Iterable[int]) -> dict[int, int]:
    """How many words of history make a prompt of about so many tokens, for each of `tokens`.

    A server that counts no tokens is taken to have one for every word.
    """
    few, many = EXCHANGES, 64 * EXCHANGES
    least, most = [await _prompt_tokens(client, words) for words in (few, many)]
    if least is None or most is None or most <= least:
        return {wanted: wanted for wanted in tokens}
    per_word = (most - least) / (many - few)
    return {wanted: max(few, few + round((wanted - least) / per_word)) for wanted in tokens}


async def _prompt_tokens(client: Client, words: int) -> int | None:
    messages = [*history(words, fresh_name()), _user("What comes next?")]
    return (await client.ask(messages, 1)).prompt_tokens


def fresh_name() -> str:
    """Unlike any before, also (all but surely) in earlier runs.

    Of digits, whose tokens are alike everywhere.
    """
    return str(next(_NAMES) % 10**8).zfill(8)


def long_questions(streams: int) -> list[str]:
    """What most models answer at length, the bundled one among them; new to every server."""
    return [f"{_spoken(fresh_name())}: Count from {1 + i % 20} to 99." for i in range(streams)]


def _spoken(name: str) -> str:
    """A syllable for every two digits, since the bundled model takes digits for sums."""
    pairs = (int(name[at : at + 2]) for at in range(0, len(name), 2))
    return "".join(_CONSONANTS[it // 5] + _VOWELS[it % 5] for it in pairs).capitalize()


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}

"""Turns of a conversation: what is resumed, what is fed, and what every ending leaves behind."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.answer import Answer
from server.chat.served import ServedModel
from server.chat.template import G1
from server.chat.types import ChoiceEnd, Message, SamplingOptions, TextDelta, TurnEvent
from server.engine.messages import TokenSampled
from server.errors import AnswerFailed, InvalidRequest, Overloaded
from server.session import SessionManager, SnapshotStore
from tests.doubles import WritingModel
from tests.server.chat.talking import (
    HELLO,
    LETTERS,
    PATIENCE_S,
    TOKENIZER,
    Server,
    assistant,
    length,
    read,
    serving,
    user,
)


async def test_the_first_turn_is_fed_whole() -> None:
    async with serving() as server:
        answer = await server.ask(*HELLO)
        prompt = "System: Be brief.\n\nUser: Hello\n\nAssistant:"
        assert (answer.turn.prompt_tokens, answer.turn.cached_tokens) == (length(prompt), 0)
        assert (answer.text, answer.reason) == ("Hi there.", "stop")
        assert answer.tokens == length(" Hi there.") + 1  # the end of the text was sampled too


async def test_the_next_turn_feeds_only_the_new_words() -> None:
    async with serving(model=(model := WritingModel(" Hi there."))) as server:
        first = await server.ask(*HELLO)
        before = len(model.fed)
        second = await server.ask(*HELLO, assistant(first.text), user("Bye"))
        new = TOKENIZER.encode("\n\nUser: Bye\n\nAssistant:")
        assert second.turn.cached_tokens == first.turn.prompt_tokens + length(" Hi there.")
        assert second.fed == len(new)
        assert model.fed[before : before + len(new)] == new


async def test_twenty_turns_feed_every_word_once() -> None:
    async with serving(model=(model := WritingModel(" Hi there."))) as server:
        talk: list[Message] = [Message("system", "Be brief.")]
        for turn in range(20):
            talk.append(user(f"Question {turn}"))
            talk.append(assistant((await server.ask(*talk)).text))
        rendered = "".join(
            part for i, m in enumerate(talk) for part in G1.segments(*G1.canonical(m), first=i == 0)
        )
        assert model.fed == TOKENIZER.encode(rendered)


async def test_regenerating_feeds_nothing() -> None:
    async with serving(None) as server:
        first = await server.ask(*HELLO, sampling=LETTERS)
        again = await server.ask(*HELLO, sampling=LETTERS)
        other = await server.ask(*HELLO, sampling=SamplingOptions(seed=2, top_p=1.0))
        assert (first.fed, again.fed, other.fed) == (first.turn.prompt_tokens, 0, 0)
        assert first.text == again.text != other.text


async def test_an_edit_of_the_last_question_resumes_at_the_answer_before_it() -> None:
    async with serving() as server:
        first = await server.ask(*HELLO)
        talk = (*HELLO, assistant(first.text))
        await server.ask(*talk, user("One way"))
        edited = await server.ask(*talk, user("Another"))
        assert edited.fed == length("\n\nUser: Another\n\nAssistant:")


async def test_an_edit_of_the_first_question_resumes_after_the_system_message() -> None:
    async with serving() as server:
        await server.ask(*HELLO)
        edited = await server.ask(HELLO[0], user("Another"))
        assert edited.turn.cached_tokens == length("System: Be brief.")


async def test_an_edited_answer_resumes_from_its_prompt() -> None:
    async with serving() as server:
        first = await server.ask(*HELLO)
        edited = await server.ask(*HELLO, assistant("I never said that."), user("Bye"))
        assert edited.turn.cached_tokens == first.turn.prompt_tokens


async def test_every_one_of_several_answers_can_be_continued() -> None:
    async with serving(None) as server:
        first = await server.ask(*HELLO, choices=3, sampling=LETTERS)
        assert len(set(first.texts.values())) == 3
        assert {end.reason for end in first.ends.values()} == {"length"}
        for text in first.texts.values():
            following = await server.ask(*HELLO, assistant(text), user("Bye"))
            assert following.fed == length("\n\nUser: Bye\n\nAssistant:")


async def test_the_first_of_several_answers_is_the_one_that_would_come_alone() -> None:
    async with serving(None) as server:
        several = await server.ask(*HELLO, choices=3, sampling=LETTERS)
        alone = await server.ask(*HELLO, sampling=LETTERS, caller="bob")
        assert several.texts[0] == alone.text


@pytest.mark.parametrize("seed", [-1, -2, 0, 7, 2**63 - 1])
async def test_several_answers_differ_whatever_the_seed(seed: int) -> None:
    async with serving(None) as server:
        options = SamplingOptions(seed=seed, top_p=1.0)
        answer = await server.ask(*HELLO, choices=4, sampling=options)
        assert len(set(answer.texts.values())) == 4


async def test_branches_of_a_conversation_do_not_disturb_each_other() -> None:
    async with serving(None) as server:
        first = await server.ask(*HELLO, sampling=LETTERS)
        talk = (*HELLO, assistant(first.text))
        one = await server.ask(*talk, user("One"), sampling=LETTERS)
        await server.ask(*talk, user("Other"), sampling=LETTERS)
        again = await server.ask(*talk, user("One"), assistant(one.text), user("More"))
        assert again.fed == length("\n\nUser: More\n\nAssistant:")


async def test_another_caller_resumes_nothing() -> None:
    async with serving() as server:
        await server.ask(*HELLO)
        assert (await server.ask(*HELLO, caller="bob")).turn.cached_tokens == 0


@pytest.mark.parametrize("change", ["weights", "format"])
async def test_another_model_resumes_nothing(change: str) -> None:
    sessions = SessionManager(SnapshotStore(10**8))
    async with serving(sessions=sessions) as server:
        await server.ask(*HELLO)
    async with serving(sessions=sessions) as server:
        same = server.service.model
        spec = same.spec if change == "format" else WritingModel("").spec
        if change == "weights":
            fields = {name: getattr(spec, name) for name in spec.__slots__}
            spec = type(spec)(**{**fields, "fingerprint": "other"})
        dtype = "bf16" if change == "format" else same.dtype
        server.service.model = ServedModel(same.id, spec, dtype, same.tokenizer, same.template)
        assert (await server.ask(*HELLO)).turn.cached_tokens == 0


async def test_a_store_of_nothing_still_answers() -> None:
    sessions = SessionManager(SnapshotStore(0))
    async with serving(sessions=sessions) as server:
        for _ in range(2):
            answer = await server.ask(*HELLO)
            assert (answer.text, answer.turn.cached_tokens) == ("Hi there.", 0)


async def test_after_a_stop_string_the_next_turn_resumes_before_it() -> None:
    async with serving(" Hi there, END of it", model=None) as server:
        first = await server.ask(*HELLO, stop=("END",))
        assert (first.text, first.reason) == ("Hi there, ", "stop")
        second = await server.ask(*HELLO, assistant(first.text), user("Bye"))
        assert second.turn.cached_tokens == first.turn.prompt_tokens + length(" Hi there, ")
        assert second.fed == length("\n\nUser: Bye\n\nAssistant:")


@pytest.mark.parametrize("stop", ["\n\nUser:", "\nUser:", "\n\n\nUser:"])
async def test_an_answer_ends_where_the_model_begins_to_speak_for_the_user(stop: str) -> None:
    async with serving(f" Hi there.{stop} and so on") as server:
        first = await server.ask(*HELLO)
        assert (first.text.rstrip("\n"), first.reason) == ("Hi there.", "stop")
        second = await server.ask(*HELLO, assistant(first.text), user("Bye"))
        assert second.fed == length("\n\nUser: Bye\n\nAssistant:")
        assert "User:" not in first.text


async def test_with_the_end_of_text_ignored_only_the_request_says_where_an_answer_ends() -> None:
    async with serving("Hello.\n\nUser:") as server:
        through = await server.ask(*HELLO, ignore_eos=True, max_tokens=13)
        stopped = await server.ask(*HELLO, ignore_eos=True, stop=("ser",))
    assert (through.text, through.reason) == ("Hello.\n\nUser:", "length")
    assert (stopped.text, stopped.reason) == ("Hello.\n\nU", "stop")


async def test_a_beginning_of_a_stop_string_at_the_end_is_delivered() -> None:
    async with serving(" Hi EN") as server:
        assert (await server.ask(*HELLO, stop=("END",))).text == "Hi EN"


async def test_an_answer_that_is_cut_off_by_its_length_can_be_continued() -> None:
    async with serving(" a long answer") as server:
        first = await server.ask(*HELLO, max_tokens=7)
        assert (first.text, first.reason, first.tokens) == ("a long", "length", 7)
        second = await server.ask(*HELLO, assistant(first.text), user("Go on"))
        assert second.turn.cached_tokens == first.turn.prompt_tokens + 7


async def test_the_length_of_an_answer_is_the_servers_where_none_is_asked_for() -> None:
    async with serving("x" * 100) as server:
        assert (await server.ask(*HELLO)).tokens == 40


@pytest.mark.parametrize("script", ["", " ", "\n\n"])
async def test_an_empty_answer_can_be_continued(script: str) -> None:
    async with serving(script) as server:
        first = await server.ask(*HELLO)
        assert (first.text, first.reason) == ("", "stop")
        second = await server.ask(*HELLO, assistant(""), user("Well?"))
        assert second.turn.cached_tokens == first.turn.prompt_tokens + length(script)


async def test_white_space_that_a_client_strips_does_not_matter() -> None:
    async with serving("\n  Hi\r\n\r\nthere. \n ") as server:
        first = await server.ask(*HELLO)
        sent_back = first.text.strip().replace("\r\n", "\n")
        second = await server.ask(*HELLO, assistant(sent_back), user(" Bye\r\n"))
        assert second.fed == length("\n\nUser: Bye\n\nAssistant:")


async def test_a_stop_token_of_the_request_ends_the_answer_and_is_not_fed() -> None:
    async with serving(" Hi there.") as server:
        first = await server.ask(*HELLO, stop_token_ids=(ord("t") + 1,))
        assert (first.text, first.reason, first.tokens) == ("Hi ", "stop", 5)
        second = await server.ask(*HELLO, assistant("Hi"), user("Bye"))
        assert second.turn.cached_tokens == first.turn.prompt_tokens + length(" Hi ")


async def test_a_cancelled_answer_can_be_continued_from_what_was_delivered() -> None:
    async with serving(" word" * 50_000) as server:
        turn = await server.start(*HELLO, max_tokens=10**6)
        events = turn.events()
        async with asyncio.timeout(PATIENCE_S):
            text = [await anext(events) for _ in range(3)]
            turn.cancel()
            rest = [event async for event in events]
        assert isinstance(rest[-1], ChoiceEnd)
        assert rest[-1].reason == "cancelled"
        said = "".join(e.text for e in (*text, *rest) if isinstance(e, TextDelta))
        assert server.client.in_flight == 0
        second = await server.ask(*HELLO, assistant(said), user("Bye"), max_tokens=1)
        assert second.turn.cached_tokens == turn.prompt_tokens + rest[-1].tokens
        assert second.fed == length("\n\nUser: Bye\n\nAssistant:")


async def test_a_turn_that_nobody_reads_is_kept_all_the_same() -> None:
    async with serving() as server:
        await server.start(*HELLO)
        async with asyncio.timeout(PATIENCE_S):
            while server.client.in_flight:
                await asyncio.sleep(0.001)
        second = await server.ask(*HELLO, assistant("Hi there."), user("Bye"))
        assert second.fed == length("\n\nUser: Bye\n\nAssistant:")


async def test_an_overloaded_server_refuses_and_leaves_nothing_behind() -> None:
    async with serving("x" * 10**6, capacity=2) as server:
        turn = await server.start(*HELLO, max_tokens=10**6)
        with pytest.raises(Overloaded) as caught:
            await server.start(user("Other"), choices=2)
        assert caught.value.retry_after_s > 0
        assert server.client.in_flight == 1
        turn.cancel()
        await read(turn)
        assert (server.client.in_flight, server.kept(user("Other"))) == (0, None)
        assert (await server.ask(user("Other"), choices=2, max_tokens=3)).tokens == 6


async def test_a_prompt_over_the_limit_is_an_invalid_request_and_leaves_nothing() -> None:
    async with serving(limit=30) as server:
        with pytest.raises(InvalidRequest) as caught:
            await server.start(user("x" * 40))
        assert (caught.value.param, caught.value.code) == ("messages", "context_length_exceeded")
        assert server.client.in_flight == 0
        short = "User: " + "x" * (30 - length("User: \n\nAssistant:"))
        assert (await server.ask(user(short.removeprefix("User: ")))).turn.prompt_tokens == 30


@pytest.mark.parametrize("role", ["user", "assistant"])
async def test_text_that_is_not_unicode_is_an_invalid_request(role: str) -> None:
    async with serving() as server:
        messages = (user("Hello"), Message(role, "half \ud83d a pair"))  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest) as caught:
            await server.start(*messages)
        assert caught.value.param == "messages.1.content"
        assert server.client.in_flight == 0


async def test_a_turn_whose_computation_breaks_says_so_and_hurts_no_later_one() -> None:
    async with serving(model=WritingModel(" Hi.", fail_on=ord("!") + 1)) as server:
        with pytest.raises(AnswerFailed):
            await server.ask(user("Break!"))
        assert server.client.in_flight == 0
        assert (await server.ask(user("Hello"))).text == "Hi."
        assert server.client.in_flight == 0


async def test_a_turn_that_cannot_read_its_tokens_fails_and_frees_its_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(answer: Answer, event: TokenSampled) -> list[TurnEvent]:
        raise ValueError("broken")

    async with serving("x" * 10**6) as server:
        with monkeypatch.context() as patch:
            patch.setattr(Answer, "push", broken)
            turn = await server.start(*HELLO, max_tokens=10**6)
            with pytest.raises(AnswerFailed):
                await read(turn)
        async with asyncio.timeout(PATIENCE_S):
            while server.client.in_flight:
                await asyncio.sleep(0.001)


async def test_a_server_that_stops_fails_its_turns() -> None:
    async with serving("x" * 10**6) as server:
        turn = await server.start(*HELLO, max_tokens=10**6)
        await anext(turn.events())
        await server.client.stop()
        with pytest.raises(AnswerFailed):
            await read(turn)


async def test_the_same_question_at_once_is_answered_to_everybody() -> None:
    async with serving() as server:
        turns = [await server.start(*HELLO, caller=c) for c in ("ann", "ann", "bob")]
        assert {(await read(turn)).text for turn in turns} == {"Hi there."}


async def test_a_conversation_that_begins_with_an_answer_is_served() -> None:
    async with serving() as server:
        talk = (assistant("Welcome."), user("Hello"))
        first = await server.ask(*talk)
        assert first.turn.prompt_tokens == length(
            "Assistant: Welcome.\n\nUser: Hello\n\nAssistant:"
        )
        second = await server.ask(*talk, assistant(first.text), user("Bye"))
        assert second.fed == length("\n\nUser: Bye\n\nAssistant:")


async def test_a_conversation_that_ends_with_an_answer_gets_another() -> None:
    async with serving() as server:
        first = await server.ask(*HELLO)
        second = await server.ask(*HELLO, assistant(first.text))
        assert second.fed == length("\n\nAssistant:")


CONTENT = st.text(st.sampled_from("ab \n:é"), max_size=6)
TALK = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), CONTENT),
    min_size=1,
    max_size=5,
)


async def fed_ids(server: Server, messages: Sequence[Message]) -> list[int]:
    await server.ask(*messages, max_tokens=1)
    snapshot = server.kept(*messages)
    assert snapshot is not None
    return snapshot.fed.to_list()


@settings(max_examples=25, deadline=None)
@given(TALK, st.data())
def test_a_resumed_prompt_consists_of_the_ids_of_a_fresh_one(
    talk: list[Message], data: st.DataObject
) -> None:
    before = data.draw(st.lists(st.integers(1, len(talk)), max_size=3))

    async def both() -> tuple[list[int], list[int]]:
        # The answers are no message of any talk, so only prompts are resumed.
        async with serving("Q") as fresh, serving("Q") as resumed:
            for count in before:
                await resumed.ask(*talk[:count], max_tokens=1)
            return await fed_ids(fresh, talk), await fed_ids(resumed, talk)

    one, other = asyncio.run(both())
    assert one == other
    parts = [
        part for i, m in enumerate(talk) for part in G1.segments(*G1.canonical(m), first=i == 0)
    ]
    assert TOKENIZER.decode(one) == "".join(parts) + G1.header

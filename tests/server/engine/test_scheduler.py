"""Properties of the schedule that must hold for every mix of prompts and answers."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.engine.messages import Branch, Sampling, Submit
from server.engine.sampler import Sampler, forbidden_tensor
from server.engine.scheduler import Feed, schedule
from server.engine.sequence import Sequence
from tests.doubles import SilentWatcher


def sequence(order: int, *, prompt: int, decoding: int = 0) -> Sequence:
    """`prompt` tokens of a prompt left, or in an answer with `decoding` tokens to be fed."""
    pieces = ((1,) * prompt, (2, 2)) if prompt else ()
    submit = Submit(
        f"r{order}", None, pieces, (Branch(Sampling(), SilentWatcher()),), 10, frozenset()
    )
    made = Sequence(submit, 0, Sampler(Sampling(), forbidden_tensor([])), order)
    if decoding:
        made.pending = (3,) * decoding
    return made


# Prompts with tokens left, answers with one token, with a remainder to feed, or with nothing.
KINDS = st.one_of(
    st.integers(1, 60).map(lambda n: {"prompt": n}),
    st.sampled_from([1, 1, 2, 7, 0]).map(lambda n: {"prompt": 0, "decoding": n}),
)


@st.composite
def loads(draw: st.DrawFn) -> list[Sequence]:
    kinds = draw(st.lists(KINDS, max_size=8))
    orders = draw(st.permutations(range(len(kinds))))
    return [sequence(order, **kind) for order, kind in zip(orders, kinds, strict=True)]


BUDGETS = st.integers(1, 100)
PROPERTY = settings(max_examples=100, deadline=None)


def prompts(load: list[Sequence]) -> list[Sequence]:
    return [s for s in load if s.pending and not s.decoding]


def count_of(feeds: list[Feed], sequence: Sequence) -> int:
    return sum(feed.count for feed in feeds if feed.sequence is sequence)


@PROPERTY
@given(loads(), BUDGETS)
def test_prompts_never_get_more_than_the_budget(load: list[Sequence], budget: int) -> None:
    feeds = schedule(load, budget)
    assert sum(feed.count for feed in feeds if not feed.sequence.decoding) <= budget


@PROPERTY
@given(loads(), BUDGETS)
def test_the_budget_is_used_up_while_there_is_something_to_feed(
    load: list[Sequence], budget: int
) -> None:
    feeds = schedule(load, budget)
    given_out = sum(feed.count for feed in feeds if not feed.sequence.decoding)
    assert given_out == min(budget, sum(len(s.pending) for s in prompts(load)))


@PROPERTY
@given(loads(), BUDGETS)
def test_every_decoding_sequence_gets_its_token(load: list[Sequence], budget: int) -> None:
    feeds = schedule(load, budget)
    assert all(count_of(feeds, s) == 1 for s in load if s.decoding)


@PROPERTY
@given(loads(), BUDGETS)
@example([sequence(0, prompt=5), sequence(1, prompt=5)], 1)
def test_the_oldest_prompt_always_advances(load: list[Sequence], budget: int) -> None:
    waiting = prompts(load)
    if waiting:
        oldest = min(waiting, key=lambda s: s.order)
        share = min(len(oldest.pending), max(1, budget // 2))
        assert count_of(schedule(load, budget), oldest) >= share


@PROPERTY
@given(loads(), BUDGETS)
@example([sequence(0, prompt=5), sequence(1, prompt=5)], 1)
def test_no_feed_is_empty_or_crosses_what_is_pending(load: list[Sequence], budget: int) -> None:
    for feed in schedule(load, budget):
        assert 1 <= feed.count <= len(feed.sequence.pending)


@PROPERTY
@given(loads(), BUDGETS)
def test_no_sequence_is_fed_twice(load: list[Sequence], budget: int) -> None:
    fed = [id(feed.sequence) for feed in schedule(load, budget)]
    assert len(fed) == len(set(fed))


@PROPERTY
@given(loads(), BUDGETS)
def test_sequences_with_nothing_pending_are_left_out(load: list[Sequence], budget: int) -> None:
    assert all(feed.sequence.pending for feed in schedule(load, budget))


@PROPERTY
@given(loads(), BUDGETS)
def test_decoding_sequences_come_first(load: list[Sequence], budget: int) -> None:
    order = [feed.sequence.decoding for feed in schedule(load, budget)]
    assert order == sorted(order, reverse=True)


@PROPERTY
@given(loads(), BUDGETS)
def test_every_load_is_fed_in_a_bounded_number_of_steps(load: list[Sequence], budget: int) -> None:
    left = sum(len(s.pending) for s in load)
    for _ in range(left):
        for feed in schedule(load, budget):
            feed.sequence.pending = feed.sequence.pending[feed.count :]
    assert not any(s.pending for s in load)


def test_a_short_prompt_beside_a_long_one_is_fed_at_once() -> None:
    long, short = sequence(0, prompt=1000), sequence(1, prompt=30)
    feeds = schedule([long, short], 64)
    assert (count_of(feeds, long), count_of(feeds, short)) == (34, 30)


def test_shorter_prompts_go_before_longer_ones() -> None:
    oldest, long, short = (sequence(i, prompt=n) for i, n in enumerate((100, 50, 20)))
    feeds = schedule([oldest, long, short], 64)
    assert [count_of(feeds, s) for s in (oldest, long, short)] == [32, 12, 20]

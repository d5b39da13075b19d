"""What a caller may use, on a clock that a test sets."""

import pytest

from server.limits import Allowances, Limits


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def allowances(**limits: int) -> tuple[Allowances, Clock]:
    clock = Clock()
    return Allowances(Limits(**limits), clock), clock


def test_without_limits_everybody_is_let_in() -> None:
    own, _ = allowances()
    assert [own.enter("ann") for _ in range(1000)] == [None] * 1000
    assert own.levels("ann") == []


def test_so_many_are_under_way_and_no_more() -> None:
    own, _ = allowances(concurrent=2)
    assert [own.enter("ann") is None for _ in range(3)] == [True, True, False]
    assert own.enter("bob") is None
    own.leave("ann")
    assert own.enter("ann") is None


def test_requests_come_back_evenly() -> None:
    own, clock = allowances(requests_per_minute=30)
    assert all(own.enter("ann") is None for _ in range(30))
    refused = own.enter("ann")
    assert refused is not None
    assert refused.wait_s == pytest.approx(2)
    clock.now += 2
    assert own.enter("ann") is None
    assert own.enter("ann") is not None
    clock.now += 3600
    (level,) = own.levels("ann")
    assert (level.kind, level.limit, level.remaining, level.full_s) == ("requests", 30, 30, 0)


def test_a_refused_request_uses_nothing() -> None:
    own, clock = allowances(requests_per_minute=60, tokens_per_minute=60)
    own.spent("ann", 70)
    assert own.enter("ann") is not None
    assert own.levels("ann")[0].remaining == 60
    clock.now += 10
    assert own.enter("ann") is not None  # the debt is gone, but there is no token yet
    clock.now += 1
    assert own.enter("ann") is None


def test_tokens_of_one_caller_are_no_others() -> None:
    own, _ = allowances(tokens_per_minute=60)
    own.spent("ann", 60)
    assert own.enter("ann") is not None
    assert own.enter("bob") is None


def test_a_batch_leaves_half_to_its_caller() -> None:
    own, _ = allowances(tokens_per_minute=100, concurrent=1)
    assert own.enter("ann", inside=True) is None
    own.spent("ann", 60)
    assert own.enter("ann", inside=True) is not None
    assert own.enter("ann") is None

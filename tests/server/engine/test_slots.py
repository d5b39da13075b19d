"""Rows stay with their sequences, whatever is added, removed and brought to the front."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import State
from server.engine.messages import Branch, Sampling, Submit
from server.engine.sampler import Sampler, forbidden_tensor
from server.engine.sequence import Sequence
from server.engine.slots import Slots
from server.engine.snapshot import FedIds, Snapshot
from tests.doubles import CountingModel, SilentWatcher

MODEL = CountingModel()


def snapshot(mark: float) -> Snapshot:
    state = MODEL.new_state(1)
    for tensor in state.tensors:
        tensor.add_(mark)
    return Snapshot(state, torch.full((97,), mark), FedIds([int(mark)]))


def sequence(name: int, start: Snapshot | None = None) -> Sequence:
    branches = (Branch(Sampling(), SilentWatcher()),)
    submit = Submit(f"r{name}", start, ((1,),), branches, 10, frozenset())
    return Sequence(submit, 0, Sampler(Sampling(), forbidden_tensor([])), name)


def marks(slots: Slots) -> dict[int, set[float]]:
    """The values found in the state of every sequence."""
    rows = slots.lead(list(slots.sequences))
    return {
        s.order: {float(v) for t in rows.tensors for v in t[:, row].flatten()}
        for row, s in enumerate(slots.sequences)
    }


def test_a_new_sequence_starts_from_nothing() -> None:
    slots = Slots(MODEL, 2)
    first = sequence(1, snapshot(5))
    slots.add(first)
    slots.remove(first)
    slots.add(sequence(2))
    assert marks(slots) == {2: {0.0}}


def test_a_new_sequence_starts_as_the_model_says_even_if_that_is_not_zero() -> None:
    class Biased(CountingModel):
        def new_state(self, batch: int) -> State:
            return State(*(tensor - 7 for tensor in super().new_state(batch).tensors))

    slots, first = Slots(Biased(), 2), sequence(1, snapshot(5))
    slots.add(first)
    slots.remove(first)
    slots.add(sequence(2))
    for tensor in slots.lead(slots.sequences).tensors:
        tensor.add_(0.5)  # what one sequence makes of it is not where the next one starts
    slots.add(sequence(3))
    assert marks(slots) == {2: {-6.5}, 3: {-7.0}}


def test_a_resumed_sequence_starts_from_its_snapshot() -> None:
    slots = Slots(MODEL, 2)
    slots.add(sequence(1))
    slots.add(sequence(2, snapshot(5)))
    assert marks(slots) == {1: {0.0}, 2: {5.0}}


def test_a_snapshot_is_not_changed_by_what_is_computed_from_it() -> None:
    slots, start = Slots(MODEL, 1), snapshot(5)
    slots.add(sequence(1, start))
    for tensor in slots.lead(slots.sequences).tensors:
        tensor.add_(1)
    assert all(bool((tensor == 5).all()) for tensor in start.state.tensors)


def test_a_snapshot_that_was_taken_is_not_changed_by_later_steps() -> None:
    slots, running = Slots(MODEL, 1), sequence(1, snapshot(5))
    slots.add(running)
    taken = slots.snapshot(running)
    for tensor in slots.lead(slots.sequences).tensors:
        tensor.add_(1)
    assert running.logits is not None
    running.logits += 1
    running.feed(1, np.zeros(97, dtype=np.float32))
    slots.snapshot(running)
    assert all(bool((tensor == 5).all()) for tensor in taken.state.tensors)
    assert bool((taken.logits == 5).all())
    assert taken.fed.to_list() == [5]


def test_a_sequence_does_not_hold_on_to_the_state_it_started_from() -> None:
    slots, running = Slots(MODEL, 1), sequence(1, snapshot(5))
    slots.add(running)
    assert running.start is None


def test_a_restored_sequence_has_the_state_of_the_snapshot() -> None:
    slots = Slots(MODEL, 2)
    slots.add(sequence(1))
    slots.add(sequence(2, snapshot(5)))
    slots.restore(slots.sequences[0], snapshot(8).state)
    assert marks(slots) == {1: {8.0}, 2: {5.0}}


def test_the_chosen_sequences_come_to_the_leading_rows_in_their_order() -> None:
    slots = Slots(MODEL, 4)
    for name in range(4):
        slots.add(sequence(name, snapshot(name + 1)))
    chosen = [slots.sequences[i] for i in (3, 0, 2)]
    rows = slots.lead(chosen)
    assert rows.wkv[0, :, 0, 0, 0].tolist() == [4.0, 1.0, 3.0]
    assert slots.sequences[:3] == chosen


def test_a_slot_that_is_taken_is_no_longer_free() -> None:
    slots = Slots(MODEL, 3)
    slots.add(sequence(1))
    assert slots.free == 2
    slots.remove(slots.sequences[0])
    assert slots.free == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "lead"]), st.randoms()), max_size=30))
def test_rows_stay_with_their_sequences(actions: list) -> None:
    slots, expected, name = Slots(MODEL, 4), {}, 0
    for action, random in actions:
        if action == "add" and slots.free:
            name += 1
            slots.add(sequence(name, snapshot(name)))
            expected[name] = {float(name)}
        elif action == "remove" and slots.sequences:
            gone = random.choice(slots.sequences)
            slots.remove(gone)
            del expected[gone.order]
        elif action == "lead" and slots.sequences:
            count = random.randint(1, len(slots.sequences))
            slots.lead(random.sample(slots.sequences, count))
    assert marks(slots) == expected


def test_fed_ids_list_all_ids_of_all_predecessors() -> None:
    first = FedIds([1, 2]).then([3])
    one, other = first.then([4, 5]), first.then([6])
    assert one.to_list() == [1, 2, 3, 4, 5]
    assert other.to_list() == [1, 2, 3, 6]
    assert (first.length, one.length, other.length) == (3, 5, 4)


def test_nothing_fed_adds_nothing() -> None:
    first = FedIds([1, 2])
    assert first.then([]) is first
    assert FedIds().to_list() == []


def test_a_long_history_of_fed_ids_is_listed_without_recursion() -> None:
    ids = FedIds()
    for i in range(5000):
        ids = ids.then([i])
    assert ids.to_list() == list(range(5000))


def test_fed_ids_come_back_from_a_tensor_as_they_were() -> None:
    for ids in ([], [1, 2, 3], [0, 2**31 - 1]):
        tensor = FedIds(ids[:1]).then(ids[1:]).to_tensor()
        assert tensor.dtype == torch.int32
        assert tensor.tolist() == ids
        assert FedIds.of_tensor(tensor).to_list() == ids


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 100])
def test_the_last_fed_ids_are_found_over_predecessors(count: int) -> None:
    ids = FedIds([1, 2]).then([3]).then([4, 5, 6])
    assert ids.last(count).tolist() == ids.to_list()[max(6 - count, 0) :]


@pytest.mark.parametrize("token", [0, 65_535, 2**32 - 1])
def test_ids_of_any_vocabulary_can_be_listed(token: int) -> None:
    assert FedIds([token]).to_list() == [token]

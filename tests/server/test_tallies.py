"""Counters and histograms against those of prometheus_client."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from server.metrics.registry import WithoutCreated
from server.tallies import Spreads, Tallies

BOUNDS = (0.0005, 0.25, 1.0, 2.5, 10)
LABELS = st.sampled_from(["one", "two", 'a "quoted" \\ name', "line\nfeed"])
VALUES = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 20))


def expositions(registry: CollectorRegistry) -> list[bytes]:
    """In both forms, as the server sends them."""
    shown = WithoutCreated(registry)
    return [generate_latest(shown), openmetrics(shown)]


@given(st.lists(st.tuples(LABELS, st.integers(0, 10**6))))
def test_tallies_are_shown_as_counters(added: list[tuple[str, int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tallies = Tallies("tokens", "What it counts.", "model")
    ours.register(tallies)
    counter = Counter("tokens", "What it counts.", ["model"], registry=theirs)
    for label, count in added:
        tallies.of(label).add(count)
        counter.labels(label).inc(count)
    assert expositions(ours) == expositions(theirs)


@given(st.lists(st.tuples(LABELS, VALUES)))
def test_spreads_are_shown_as_histograms(observed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    spreads = Spreads("wait_seconds", "What it measures.", "model", BOUNDS)
    ours.register(spreads)
    histogram = Histogram(
        "wait_seconds", "What it measures.", ["model"], buckets=BOUNDS, registry=theirs
    )
    for label, value in observed:
        spreads.of(label).observe(value)
        histogram.labels(label).observe(value)
    assert expositions(ours) == expositions(theirs)

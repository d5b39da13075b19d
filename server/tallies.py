"""Counters and histograms for what happens with every token.

prometheus_client's own take a lock for each of their parts and look every bucket up, which at
several for a token costs as much as sending it. These belong to one thread, the event loop's.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Tally:
    """How many there were."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def add(self, count: int = 1) -> None:
        self.total += count


class Spread:
    """How many values there were up to each of `bounds`, which ascend, and beyond."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def sum(self) -> float:
        return self._sum

    def buckets(self) -> list[tuple[str, float]]:
        """Every bound as a label, and how many values there were up to it."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))


class Tallies(Collector):
    """A counter of `label`."""

    def __init__(self, name: str, text: str, label: str) -> None:
        self._name, self._text, self._label = name, text, label
        self._of: dict[str, Tally] = {}

    def of(self, value: str) -> Tally:
        """The one whose label has this value."""
        return self._of.setdefault(value, Tally())

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, tally in self._of.items():
            family.add_metric([value], tally.total)
        yield family


class Spreads(Collector):
    """A histogram of `label`."""

    def __init__(self, name: str, text: str, label: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._label, self._bounds = name, text, label, bounds
        self._of: dict[str, Spread] = {}

    def of(self, value: str) -> Spread:
        """The one whose label has this value."""
        return self._of.setdefault(value, Spread(self._bounds))

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        for value, spread in self._of.items():
            family.add_metric([value], spread.buckets(), spread.sum)
        yield family

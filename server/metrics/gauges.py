"""A Reading in the form of Prometheus, made whenever someone asks."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.metrics.reading import ArchiveReading, DocumentsReading, ModelReading, Reading

PREFIX = "rwkv_server"


class Gauges(Collector):
    """What is read when someone asks."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        reading = self._read()
        yield _info(reading.models)
        engines, stores = reading.engines, reading.stores
        in_flight = [(engine.model, engine.in_flight) for engine in engines]
        waiting = [(engine.model, engine.waiting) for engine in engines]
        yield _gauge("answers_in_flight", "Answers under way", "model", in_flight)
        yield _gauge("answers_waiting", "Answers without a slot", "model", waiting)
        slots = [(engine.model, engine.slots) for engine in engines]
        used = [(engine.model, engine.slots_used) for engine in engines]
        yield _gauge("slots", "Slots in all", "model", slots)
        yield _gauge("slots_used", "Slots in use", "model", used)
        kept = [(store.tier, store.snapshots) for store in stores]
        nbytes = [(store.tier, store.nbytes) for store in stores]
        yield _gauge("snapshots", "Kept snapshots", "tier", kept)
        yield _gauge("snapshot_bytes", "Bytes of kept snapshots", "tier", nbytes)
        pinned = [(store.tier, store.pinned) for store in stores if store.pinned is not None]
        yield _gauge("pinned_bytes", "Bytes of snapshots that are pinned", "tier", pinned)
        evicted = [(store.tier, store.evicted) for store in stores]
        yield _count("snapshot_evictions", "Snapshots given up for room", evicted)
        yield from _archives([(s.tier, s.archive) for s in stores if s.archive is not None])
        yield _gauge("batches", "Batches", "status", list(reading.batches.items()))
        yield from _documents(reading.documents)


def _info(models: Sequence[ModelReading]) -> Metric:
    labels = ["id", "generation", "dtype"]
    info = GaugeMetricFamily(f"{PREFIX}_model_info", "A model that is served", labels=labels)
    for model in models:
        info.add_metric([model.id, model.generation, model.dtype], 1)
    return info


def _gauge(name: str, text: str, label: str, values: Sequence[tuple[str, int]]) -> Metric:
    gauge = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for value_of, value in values:
        gauge.add_metric([value_of], value)
    return gauge


def _archives(archives: Sequence[tuple[str, ArchiveReading]]) -> Iterator[Metric]:
    writes = [(tier, archive.writes) for tier, archive in archives]
    reads = [(tier, archive.reads) for tier, archive in archives]
    errors = [(tier, archive.errors) for tier, archive in archives]
    yield _count("archive_writes", "Snapshots written to an archive", writes)
    yield _count("archive_reads", "Snapshots read from an archive", reads)
    yield _count("archive_errors", "What failed at an archive", errors)
    dropped = [(tier, archive.dropped) for tier, archive in archives]
    yield _count("archive_dropped", "Snapshots an archive was too slow for", dropped)


def _documents(reading: DocumentsReading) -> Iterator[Metric]:
    yield _plain(GaugeMetricFamily, "documents", "Stored documents", reading.count)
    yield _plain(GaugeMetricFamily, "document_bytes", "Bytes of stored documents", reading.nbytes)
    given_up = "Stored documents given up for room"
    yield _plain(CounterMetricFamily, "document_evictions", given_up, reading.evicted)
    if reading.shared is not None:
        waiting, errors = reading.shared
        late, failed = "Documents a shared store is yet to get", "What failed at a shared store"
        yield _plain(GaugeMetricFamily, "documents_waiting", late, waiting)
        yield _plain(CounterMetricFamily, "document_errors", failed, errors)


def _plain(family: Callable[..., Metric], name: str, text: str, value: int) -> Metric:
    return family(f"{PREFIX}_{name}", text, value=value)


def _count(name: str, text: str, values: Sequence[tuple[str, int]]) -> Metric:
    count = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=["tier"])
    for tier, value in values:
        count.add_metric([tier], value)
    return count

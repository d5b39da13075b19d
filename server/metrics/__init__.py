"""What the server counts, in the form of Prometheus; docs/metrics.md says what each name means.

A Metrics has a registry of its own. Counters and histograms are told what happens, in the event
loop; gauges are read when someone asks for them. A label `model` is the id of a configured model
and never what a client wrote.
"""

from server.metrics.observers import AnswerMetrics
from server.metrics.reading import (
    ArchiveReading,
    DocumentsReading,
    EngineReading,
    ModelReading,
    Reading,
    StoreReading,
)
from server.metrics.registry import Metrics

__all__ = [
    "AnswerMetrics",
    "ArchiveReading",
    "DocumentsReading",
    "EngineReading",
    "Metrics",
    "ModelReading",
    "Reading",
    "StoreReading",
]

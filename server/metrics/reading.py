"""What the gauges show, as plain values; whoever builds the server reads them from its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelReading:
    """A configured model."""

    id: str
    generation: str
    dtype: str


@dataclass(frozen=True, slots=True)
class EngineReading:
    """A running engine, under its model's id; waiting: answers in flight that have no slot."""

    model: str
    in_flight: int
    waiting: int
    slots: int
    slots_used: int


@dataclass(frozen=True, slots=True)
class ArchiveReading:
    """Snapshots written to a tier and read from it, and what failed there."""

    writes: int
    reads: int
    errors: int
    dropped: int


@dataclass(frozen=True, slots=True)
class StoreReading:
    """The snapshots kept in one tier; archive: where it outlives the process.

    pinned: bytes of them; None where only others know.
    """

    tier: str
    snapshots: int
    nbytes: int
    evicted: int
    pinned: int | None
    archive: ArchiveReading | None = None


@dataclass(frozen=True, slots=True)
class DocumentsReading:
    """The stored documents that are here; shared: of how many a shared store has yet to be told,
    and what failed there, where there is one."""

    count: int = 0
    nbytes: int = 0
    evicted: int = 0
    shared: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the gauges show; batches: how many have each status."""

    models: Sequence[ModelReading] = ()
    engines: Sequence[EngineReading] = ()
    stores: Sequence[StoreReading] = ()
    batches: Mapping[str, int] = field(default_factory=dict)
    documents: DocumentsReading = DocumentsReading()

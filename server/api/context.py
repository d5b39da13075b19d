"""What every route works with."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from server.api.repeated import CHAT_MESSAGES
from server.api.runs import Runs
from server.batches import Batches
from server.chat.catalogue import Catalogue
from server.chat.sessions import Bounds, KeptSessions, Transfers
from server.files import FileStore
from server.limits import Allowances, Limits
from server.metrics import Metrics
from server.records import MemoryRecords, Records
from server.session import SessionManager, SnapshotStore

_RECORDS_BYTES = 1 << 26

if TYPE_CHECKING:
    from server.telemetry.spans import Tracing


@dataclass(slots=True)
class Context:
    """The models behind the routes, and how they are offered.

    max_prompt_tokens, request_timeout_s: 0 is no limit. stopping: no new answer is started.
    records: what callers have stored. manager: the states that sessions are
    made of. runs: answers that go on without their clients.
    """

    catalogue: Catalogue
    max_prompt_tokens: int = 0
    request_timeout_s: float = 0.0
    stopping: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    records: Records = field(default_factory=lambda: MemoryRecords(_RECORDS_BYTES))
    runs: Runs = field(default_factory=Runs)
    files: FileStore = field(default_factory=FileStore)
    batches: Batches = field(init=False)
    batches_together: int = 1
    batch_days: float = 0.0
    manager: SessionManager = field(default_factory=lambda: SessionManager(SnapshotStore(0)))
    bounds: Bounds = field(default_factory=Bounds)
    sessions: KeptSessions = field(init=False)
    transfers: Transfers = field(init=False)
    tracing: "Tracing | None" = None
    allowances: Allowances = field(default_factory=lambda: Allowances(Limits()))

    def __post_init__(self) -> None:
        self.batches = Batches(self.files, together=self.batches_together, days=self.batch_days)
        self.sessions = KeptSessions(self.manager, self.catalogue, self.bounds)
        self.transfers = Transfers(self.manager, self.sessions)
        self.manager.gone = self._forget

    def _forget(self) -> None:
        """What is deleted is not to be found in what was made of messages either."""
        CHAT_MESSAGES.forget()
        for offer in self.catalogue.offers:
            offer.model.forget()

    @property
    def ready(self) -> bool:
        """A request would be answered now."""
        return self.catalogue.alive and not self.stopping


async def _context(request: Request) -> Context:
    """Not a plain function, as each request would wait for a thread that calls it."""
    context: Context = request.app.state.context
    return context


Served = Annotated[Context, Depends(_context)]

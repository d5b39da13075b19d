"""What every route works with."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from server.api.runs import Runs
from server.chat.catalogue import Catalogue
from server.metrics import Metrics
from server.records import MemoryRecords, Records

_RECORDS_BYTES = 1 << 26


@dataclass(slots=True)
class Context:
    """The models behind the routes, and how they are offered.

    max_prompt_tokens, request_timeout_s: 0 is no limit. stopping: no new answer is started.
    records: what callers have stored. runs: answers that go on without their clients.
    """

    catalogue: Catalogue
    max_prompt_tokens: int = 0
    request_timeout_s: float = 0.0
    stopping: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    records: Records = field(default_factory=lambda: MemoryRecords(_RECORDS_BYTES))
    runs: Runs = field(default_factory=Runs)

    @property
    def ready(self) -> bool:
        """A request would be answered now."""
        return self.catalogue.alive and not self.stopping


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Served = Annotated[Context, Depends(_context)]

"""What every route works with."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from server.chat.service import ChatService


@dataclass(slots=True)
class Context:
    """The service behind the routes, and how it is offered.

    max_prompt_tokens, request_timeout_s: 0 is no limit. stopping: no new answer is started.
    """

    service: ChatService
    max_prompt_tokens: int = 0
    request_timeout_s: float = 0.0
    stopping: bool = False

    @property
    def ready(self) -> bool:
        """A request would be answered now."""
        return self.service.alive and not self.stopping


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Served = Annotated[Context, Depends(_context)]

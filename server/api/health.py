"""GET /health, /ready and /version: for whoever watches the server, without a key."""

from typing import Literal

from fastapi import APIRouter

from server import __version__
from server.api.context import Context, Served
from server.api.errors import RETRY_AFTER_S, Stopping
from server.api.outgoing import ClosedModel

router = APIRouter(tags=["service"])


class Health(ClosedModel):
    """The engines live."""

    status: Literal["ok"] = "ok"


class Readiness(ClosedModel):
    """A request would be answered."""

    status: Literal["ready"] = "ready"


class Version(ClosedModel):
    """Which server this is."""

    version: str


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health(context: Served) -> Health:
    """200 while the engines live, else 503: nothing but a new start helps."""
    _check_alive(context)
    return Health()


@router.head("/ready", include_in_schema=False)
@router.get("/ready")
async def ready(context: Served) -> Readiness:
    """200 while a request would be answered, else 503: ask another server."""
    if context.stopping:
        raise Stopping("The server is stopping.", retry_after_s=RETRY_AFTER_S)
    _check_alive(context)
    return Readiness()


@router.get("/version")
async def version() -> Version:
    """The version of this server."""
    return Version(version=__version__)


def _check_alive(context: Context) -> None:
    if not context.catalogue.alive:
        raise Stopping("The engine is not running.", retry_after_s=RETRY_AFTER_S)

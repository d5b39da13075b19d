"""GET /health, /ready and /version: for whoever watches the server, without a key."""

from fastapi import APIRouter

from server import __version__
from server.api.context import Context, Served
from server.api.errors import RETRY_AFTER_S, Stopping

router = APIRouter(tags=["service"])


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health(context: Served) -> dict[str, str]:
    """200 while the engines live, else 503: nothing but a new start helps."""
    _check_alive(context)
    return {"status": "ok"}


@router.head("/ready", include_in_schema=False)
@router.get("/ready")
async def ready(context: Served) -> dict[str, str]:
    """200 while a request would be answered, else 503: ask another server."""
    if context.stopping:
        raise Stopping("The server is stopping.", retry_after_s=RETRY_AFTER_S)
    _check_alive(context)
    return {"status": "ready"}


@router.get("/version")
async def version() -> dict[str, str]:
    """The version of this server."""
    return {"version": __version__}


def _check_alive(context: Context) -> None:
    if not context.catalogue.alive:
        raise Stopping("The engine is not running.", retry_after_s=RETRY_AFTER_S)

"""GET /health and /version: for whoever watches the server, without a key."""

from fastapi import APIRouter

from server import __version__
from server.api.context import Served
from server.api.errors import RETRY_AFTER_S, Stopping

router = APIRouter(tags=["service"])


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health(context: Served) -> dict[str, str]:
    """200 while a request would be answered, else 503."""
    if not context.ready:
        raise Stopping("The engine is not running.", retry_after_s=RETRY_AFTER_S)
    return {"status": "ok"}


@router.get("/version")
async def version() -> dict[str, str]:
    """The version of this server."""
    return {"version": __version__}

"""The HTTP application: routers, and what surrounds them, from the outside in."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import StatelessLifespan

from server import __version__
from server.api import (
    chat,
    chat_stored,
    completions,
    conversations,
    health,
    messages,
    metrics,
    models,
    responses,
    tokenizer,
)
from server.api.auth import Authentication, KeyRing
from server.api.context import Context
from server.api.errors import HANDLERS, ErrorBody
from server.api.middleware import REQUEST_ID, BodyLimit, LastResort, RequestIds
from server.config import ServerSettings
from server.metrics import Metrics

_PARTS = (
    chat,
    chat_stored,
    completions,
    responses,
    conversations,
    messages,
    models,
    tokenizer,
    health,
    metrics,
)


def build_api(
    context: Context,
    settings: ServerSettings,
    lifespan: StatelessLifespan[FastAPI] | None = None,
) -> FastAPI:
    """The application for `context`; whoever passes no lifespan starts the engine elsewhere."""
    api = FastAPI(
        title="rwkv-server",
        version=__version__,
        lifespan=lifespan,
        middleware=_middleware(settings, context.metrics),
        exception_handlers=HANDLERS,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
        # The usual pages load their scripts from elsewhere, which a private server must not do.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.context = context
    for part in _PARTS:
        api.include_router(part.router)
    return api


def _middleware(settings: ServerSettings, counts: Metrics) -> Sequence[Middleware]:
    return [
        Middleware(RequestIds),
        Middleware(metrics.Counted, metrics=counts),
        *_cors(settings.cors_origins),
        Middleware(LastResort),
        Middleware(Authentication, keys=KeyRing(settings.api_keys)),
        Middleware(BodyLimit, limit=int(settings.max_body_bytes)),
    ]


def _cors(origins: Sequence[str]) -> list[Middleware]:
    if not origins:
        return []
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=[REQUEST_ID, "retry-after"],
    )
    return [cors]

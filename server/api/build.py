"""The HTTP application: routers, and what surrounds them, from the outside in."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import StatelessLifespan

from server import __version__
from server.api import (
    batches,
    chat,
    completions,
    conversations,
    embeddings,
    files,
    health,
    messages,
    metrics,
    models,
    reference,
    responses,
    sessions,
    tokenizer,
)
from server.api.access import AccessLog
from server.api.auth import Authentication, KeyRing
from server.api.context import Context
from server.api.document import Documented
from server.api.errors import HANDLERS, ErrorBody
from server.api.hosts import KnownHosts, watches_hosts
from server.api.inside import Inside
from server.api.limits import HEADERS, RateLimits
from server.api.middleware import REQUEST_ID, BodyLimit, LastResort, RequestIds
from server.api.traces import Traced
from server.config import ServerSettings
from server.session.transfer import HEADER_BYTES

_PARTS = (
    chat,
    completions,
    responses,
    conversations,
    sessions,
    messages,
    embeddings,
    files,
    batches,
    models,
    tokenizer,
    health,
    metrics,
    reference,
)
_FORM_BYTES = 8192  # of an upload, beside the file


def build_api(
    context: Context,
    settings: ServerSettings,
    lifespan: StatelessLifespan[FastAPI] | None = None,
    *,
    max_file_bytes: int = 0,
) -> FastAPI:
    """The application for `context`; whoever passes no lifespan starts the engine elsewhere."""
    api = Documented(
        title="rwkv-server",
        version=__version__,
        lifespan=lifespan,
        middleware=_middleware(settings, context, max_file_bytes),
        exception_handlers=HANDLERS,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
        # `reference` has both the document, which FastAPI would make on the event loop, and a page
        # that loads no scripts from elsewhere.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.context = context
    api.state.origins = frozenset(settings.cors_origins)
    context.batches.call = Inside(api)
    for part in _PARTS:
        api.include_router(part.router)
    return api


def make_routes(api: FastAPI) -> None:
    """Has FastAPI make now what it makes of routes when a request first passes them.

    That takes a tenth of a second on the event loop, in which no stream would go on.
    """
    nowhere = {"type": "http", "method": "GET", "path": "/", "root_path": ""}
    for route in api.routes:
        route.matches(nowhere)


def _middleware(
    settings: ServerSettings, context: Context, max_file_bytes: int
) -> Sequence[Middleware]:
    larger = {
        files.router.prefix: max_file_bytes + _FORM_BYTES,
        sessions.IMPORT: context.bounds.max_file_bytes + HEADER_BYTES,
    }
    return [
        Middleware(RequestIds),
        Middleware(AccessLog),
        Middleware(metrics.Counted, metrics=context.metrics),
        *([] if context.tracing is None else [Middleware(Traced, tracing=context.tracing)]),
        *_hosts(settings),
        *_cors(settings.cors_origins),
        Middleware(LastResort),
        Middleware(Authentication, keys=KeyRing(settings.api_keys)),
        Middleware(RateLimits, allowances=context.allowances),
        Middleware(BodyLimit, limit=int(settings.max_body_bytes), larger=larger),
    ]


def _hosts(settings: ServerSettings) -> list[Middleware]:
    if not watches_hosts(settings):
        return []
    return [Middleware(KnownHosts, names=settings.allowed_hosts)]


def _cors(origins: Sequence[str]) -> list[Middleware]:
    if not origins:
        return []
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=[REQUEST_ID, "retry-after", *HEADERS],
    )
    return [cors]

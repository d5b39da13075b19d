"""Composition root: from settings to an application that is ready to be run."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI

from models import loader
from server import loading
from server.api.build import build_api, make_routes
from server.api.context import Context
from server.chat.catalogue import Catalogue, Progress
from server.chat.served import ServedModel
from server.chat.service import ChatService
from server.chat.sessions import Bounds
from server.config import ServerSettings, SessionSettings, Settings
from server.engine.client import EngineClient
from server.engine.snapshot import Snapshot
from server.files import FileStore
from server.keeping import Keeping, open_cipher
from server.limits import Allowances, Limits
from server.loading import StartError
from server.metrics import (
    AnswerMetrics,
    ArchiveReading,
    EngineReading,
    Metrics,
    ModelReading,
    Reading,
    StoreReading,
)
from server.session import Archive, CipherError, SessionManager, SnapshotStore
from server.telemetry import TelemetryError, open_tracing
from server.valkey import ValkeyError

__all__ = ["App", "StartError", "build"]

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class App:
    """Everything that runs, and its start and stop; belongs to one event loop."""

    settings: Settings
    context: Context
    keeping: Keeping

    @property
    def catalogue(self) -> Catalogue:
        return self.context.catalogue

    @property
    def service(self) -> ChatService:
        """The first model's."""
        return self.catalogue.first

    def api(self) -> FastAPI:
        """The HTTP application, which starts and stops the engines with itself."""

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with self.running():
                yield

        api = build_api(
            self.context,
            self.settings.server,
            lifespan,
            max_file_bytes=int(self.settings.files.max_file_bytes),
        )
        make_routes(api)
        return api

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The models answer within this block."""
        try:
            self.context.manager.follow()
            await self.keeping.open()
            self.catalogue.start()
            self.context.batches.start()
            yield
        finally:
            await self.stop(grace_s=0)

    async def stop(self, *, grace_s: float) -> None:
        """Refuse new answers, let running ones go on for `grace_s`, then end them with an error."""
        self.context.stopping = True
        await self.context.batches.stop()
        for _ in range(int(grace_s / _POLL_S)):
            if not self.catalogue.in_flight:
                break
            await asyncio.sleep(_POLL_S)
        await self.catalogue.stop()
        await self.keeping.close()
        self.context.files.close()
        if self.context.tracing is not None:
            await asyncio.to_thread(self.context.tracing.close)


def build(settings: Settings, progress: Progress = lambda done, total: None) -> App:
    """Load the first model that the settings name, and look at all others.

    Raises StartError, with nothing left running.
    """
    metrics, allowances = Metrics(), Allowances(_limits(settings.server))
    try:
        cipher = open_cipher(settings.sessions)
        files = FileStore(max_bytes=int(settings.files.max_bytes), seal=cipher)
        keeping = Keeping(settings.sessions, files, cipher)
        tracing = open_tracing(settings.log.otlp_endpoint, os.environ)
        trace = tracing.answer if tracing is not None else lambda: None
        offers = loading.offers(settings, metrics.steps, allowances, trace)
        first = offers[0].load(None, progress)
    except (*loading.UNUSABLE, CipherError, TelemetryError, ValkeyError) as error:
        raise StartError(str(error)) from error
    store = SnapshotStore(settings.sessions.memory_bytes)
    manager = SessionManager(store, keeping.archive)
    observers = {offer.id: metrics.answers(offer.id, offer.engine_id) for offer in offers}
    catalogue = Catalogue(
        offers,
        first,
        serve=partial(_service, settings, manager, observers),
        measure=loader.resident_bytes,
        budget_bytes=settings.engine.models_bytes,
    )
    context = Context(
        catalogue,
        max_prompt_tokens=settings.engine.max_prompt_tokens,
        request_timeout_s=settings.server.request_timeout_s,
        metrics=metrics,
        records=keeping.records,
        allowances=allowances,
        tracing=tracing,
        files=files,
        batches_together=settings.engine.max_slots,
        batch_days=settings.files.batch_days,
        manager=manager,
        bounds=_bounds(settings.sessions),
    )
    metrics.read = partial(_reading, context, store, keeping)
    return App(settings, context, keeping)


def _service(
    settings: Settings,
    sessions: SessionManager,
    observers: Mapping[str, AnswerMetrics],
    model: ServedModel,
    engine: EngineClient,
    beginning: Snapshot | None,
) -> ChatService:
    return ChatService(
        model,
        engine,
        sessions,
        default_max_tokens=settings.engine.default_max_tokens,
        max_prompt_tokens=settings.engine.max_prompt_tokens,
        beginning=beginning,
        observer=observers[model.id],
    )


def _bounds(settings: SessionSettings) -> Bounds:
    """One caller's pins never take more than half of a tier."""
    tiers = [settings.memory_bytes, settings.disk_bytes if settings.archive else 0]
    halves = [nbytes // 2 for nbytes in tiers if nbytes]
    return Bounds(settings.max_import_bytes, min(settings.max_pinned_bytes, *halves))


def _limits(settings: ServerSettings) -> Limits:
    return Limits(
        settings.max_concurrent_per_key,
        settings.requests_per_minute_per_key,
        settings.tokens_per_minute_per_key,
    )


def _reading(context: Context, store: SnapshotStore, keeping: Keeping) -> Reading:
    """What the gauges show now."""
    catalogue = context.catalogue
    models = [offer.model for offer in catalogue.offers]
    return Reading(
        [ModelReading(model.id, model.spec.generation, model.dtype) for model in models],
        [
            EngineReading(id, engine.in_flight, engine.waiting, engine.slots, engine.slots_used)
            for id, engine in catalogue.engines.items()
        ],
        [_memory(store), *_archives(keeping.archive)],
        context.batches.counts(),
        keeping.documents,
    )


def _memory(store: SnapshotStore) -> StoreReading:
    return StoreReading("memory", len(store), store.nbytes, store.evicted, store.pinned_nbytes)


def _archives(archive: Archive) -> Iterator[StoreReading]:
    for home, counts in archive.places:
        held = home.contents()
        done = ArchiveReading(counts.writes, counts.reads, counts.errors, archive.dropped)
        yield StoreReading(home.tier, held.snapshots, held.nbytes, held.evicted, held.pinned, done)

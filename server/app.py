"""Composition root: from settings to an application that is ready to be run."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from models import loader
from models.backends import BackendError, select
from models.base import CheckpointError, Model
from models.tokenizer import Tokenizer, TokenizerError, beside, load
from server.api.build import build_api
from server.api.context import Context
from server.chat.service import ChatService, ServedModel
from server.chat.template import TemplateError, find_template
from server.config import EngineSettings, ModelSettings, Settings
from server.engine.client import EngineClient
from server.engine.engine import Engine
from server.hub import HubError, find
from server.session import SessionManager, SnapshotStore

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
_POLL_S = 0.05


class StartError(Exception):
    """What was asked for cannot be served; the message is one sentence for the person."""


@dataclass(frozen=True, slots=True)
class App:
    """Everything that runs, and its start and stop; belongs to one event loop."""

    settings: Settings
    context: Context
    engine: EngineClient

    @property
    def service(self) -> ChatService:
        return self.context.service

    def api(self) -> FastAPI:
        """The HTTP application, which starts and stops the engine with itself."""

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with self.running():
                yield

        return build_api(self.context, self.settings.server, lifespan)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The engine answers within this block."""
        self.engine.start()
        try:
            yield
        finally:
            await self.stop(grace_s=0)

    async def stop(self, *, grace_s: float) -> None:
        """Refuse new answers, let running ones go on for `grace_s`, then end them with an error."""
        self.context.stopping = True
        for _ in range(int(grace_s / _POLL_S)):
            if not self.engine.in_flight:
                break
            await asyncio.sleep(_POLL_S)
        await self.engine.stop()


def build(settings: Settings, progress: Progress = lambda done, total: None) -> App:
    """Load all that the settings name. Raises StartError, with nothing left running."""
    try:
        served, model = _load(settings.model, progress)
    except (BackendError, CheckpointError, HubError, TemplateError, TokenizerError) as error:
        raise StartError(str(error)) from error
    engine = _engine(settings.engine, model, served.tokenizer)
    service = ChatService(
        served,
        engine,
        SessionManager(SnapshotStore(settings.sessions.memory_bytes)),
        default_max_tokens=settings.engine.default_max_tokens,
        max_prompt_tokens=settings.engine.max_prompt_tokens,
    )
    context = Context(
        service,
        max_prompt_tokens=settings.engine.max_prompt_tokens,
        request_timeout_s=settings.server.request_timeout_s,
    )
    return App(settings, context, engine)


def _load(settings: ModelSettings, progress: Progress) -> tuple[ServedModel, Model]:
    find_template(settings.template)  # a wrong name is told before minutes of loading
    found = find(settings.path)
    path = loader.find_checkpoint(found.path)
    backend = select(settings.device, settings.threads)
    model = loader.load(path, backend, settings.dtype, progress)
    template = find_template(settings.template, model.spec.generation, model.spec.vocab_size)
    served = ServedModel(
        id=settings.id or found.id,
        spec=model.spec,
        dtype=str(model.dtype).removeprefix("torch."),
        tokenizer=load(_tokenizer_path(settings, path), model.spec.vocab_size),
        template=template,
        keep_thinking=settings.keep_thinking,
    )
    log.info(
        "loaded %s: %d parameters as %s, tokenizer %s, template %s",
        *(served.id, served.spec.parameters, served.dtype, served.tokenizer.name, template.name),
    )
    return served, model


def _tokenizer_path(settings: ModelSettings, checkpoint: Path) -> Path | None:
    """The file that was named, else what lies beside the checkpoint; None is World."""
    if settings.tokenizer is not None:
        return Path(settings.tokenizer)
    return beside(checkpoint)


def _engine(settings: EngineSettings, model: Model, tokenizer: Tokenizer) -> EngineClient:
    engine = Engine(
        model,
        max_slots=settings.max_slots,
        prefill_chunk=settings.prefill_chunk,
        forbidden_ids=tokenizer.padding_ids(model.spec.vocab_size),
    )
    return EngineClient(engine, capacity=settings.max_slots + settings.max_queue)

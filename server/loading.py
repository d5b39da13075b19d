"""From settings to offers: what can be asked for, checked before it is loaded, and its loading."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from models import adapters, loader
from models.adapters import Adapter
from models.backends import Backend, BackendError, select
from models.base import CheckpointError, Model
from models.checkpoint import open_checkpoint
from models.summary import state_bytes
from models.tokenizer import TokenizerError, beside, load
from server.chat.catalogue import Offer, Progress, Runtime
from server.chat.served import ServedModel
from server.chat.template import TemplateError, find_template
from server.config import AdapterSettings, AnyModel, EngineSettings, Settings
from server.engine.client import EngineClient, Trace
from server.engine.engine import Engine
from server.engine.observer import Meter, StepObserver
from server.engine.snapshot import Snapshot
from server.hub import HubError, find, size_text

log = logging.getLogger(__name__)

_SHIFT_BYTES = 4  # the most that a token shift's value takes: float32, in the native library
UNUSABLE = (BackendError, CheckpointError, HubError, TemplateError, TokenizerError)

Watch = Callable[[str], StepObserver | None]


class StartError(Exception):
    """What was asked for cannot be served; the message is one sentence for the person."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A checkpoint that was looked at. dtype is as the settings have it."""

    path: Path
    served: ServedModel
    dtype: str
    weights_nbytes: int


def offers(
    settings: Settings,
    watch: Watch = lambda id: None,
    meter: Meter | None = None,
    trace: Trace = lambda: None,
) -> list[Offer]:
    """Everything the settings name, the model of [model] first; nothing is loaded yet.

    watch: gives what is told of the steps of a model's engine, by the model's id. meter: of
    every caller's tokens. trace: see EngineClient.
    Raises StartError, or one of UNUSABLE.
    """
    entries = (settings.model, *settings.models)
    for entry in entries:
        find_template(entry.template)  # a wrong name is told before files are looked at
    backend = select(settings.model.device, settings.model.threads)
    sources = [_source(entry, backend) for entry in entries]
    # Threads are the process's, so that they are what the largest model wants.
    backend.fit(max(source.served.spec.parameters for source in sources))
    maker = _Maker(replace(backend, adapts=False), settings.engine, watch, meter, trace)
    found = [maker.offer(source) for source in sources]
    found += [maker.adapted(_base(sources, adapter), adapter) for adapter in settings.adapters]
    _check_ids([offer.id for offer in found])
    _check_sizes(found, settings.engine.models_bytes)
    return found


def _source(settings: AnyModel, backend: Backend) -> _Source:
    named = find(settings.path)
    checkpoint = open_checkpoint(named.path)
    spec = checkpoint.spec
    dtype = loader.number_format(settings.dtype, backend, spec)
    served = ServedModel(
        id=settings.id or named.id,
        spec=spec,
        dtype=loader.format_name(dtype),
        tokenizer=load(settings.tokenizer or beside(checkpoint.path), spec.vocab_size),
        template=find_template(settings.template, spec.generation, spec.vocab_size),
        keep_thinking=settings.keep_thinking,
    )
    nbytes = loader.weights_bytes(checkpoint, backend, dtype)
    return _Source(checkpoint.path, served, settings.dtype, nbytes)


def _base(sources: Sequence[_Source], adapter: AdapterSettings) -> _Source:
    if adapter.model is None:
        return sources[0]
    for source in sources:
        if source.served.id == adapter.model:
            return source
    ids = ", ".join(repr(source.served.id) for source in sources)
    raise StartError(
        f"the adapter {adapter.name!r} is for the model {adapter.model!r}, which is not "
        f"configured; it can be for {ids}."
    )


def _check_ids(ids: Sequence[str]) -> None:
    for id in ids:
        if ids.count(id) > 1:
            raise StartError(f"{ids.count(id)} models are called {id!r}; give each its own name.")


def _check_sizes(found: Sequence[Offer], budget: int) -> None:
    for offer in found:
        if 0 < budget < offer.nbytes:
            raise StartError(
                f"{offer.id} takes {size_text(offer.nbytes)} with its slots, more than the "
                f"{size_text(budget)} of engine.models_bytes; allow more, or fewer slots."
            )


@dataclass(frozen=True, slots=True)
class _Maker:
    """What all offers have in common."""

    backend: Backend
    engine: EngineSettings
    watch: Watch
    meter: Meter | None
    trace: Trace

    def offer(self, source: _Source, adapter: Adapter | None = None) -> Offer:
        """Of a model, or of what it becomes with an adapter merged into it."""
        spec = source.served.spec
        # One slot more, for the state that conversations begin with.
        states = (self.engine.max_slots + 1) * state_bytes(spec, _SHIFT_BYTES)
        return Offer(
            source.served,
            nbytes=source.weights_nbytes + states,
            load=partial(self._load, source, adapter, states),
        )

    def adapted(self, base: _Source, settings: AdapterSettings) -> Offer:
        """Of an adapter, which is seen to fit its base."""
        initial = Path(settings.initial) if settings.initial else None
        adapter = adapters.open_adapter(Path(settings.path), alpha=settings.alpha, initial=initial)
        spec = base.served.spec
        merged = replace(spec, fingerprint=adapters.merged_fingerprint(spec, adapter))
        served = replace(base.served, id=f"{base.served.id}:{settings.name}", spec=merged)
        begin = None
        if adapter.kind == "state":
            adapters.initial_wkv(adapter, spec)
            begin = partial(_beginning, adapter)
        else:
            adapters.changes(adapter, open_checkpoint(base.path).tensors)
        offer = self.offer(replace(base, served=served), adapter)
        return replace(offer, base=base.served.id, adapter=adapter.kind, begin=begin)

    def _load(
        self,
        source: _Source,
        adapter: Adapter | None,
        states_nbytes: int,
        base: Model | None,
        progress: Progress,
    ) -> Runtime:
        model = loader.load(
            *(source.path, self.backend, source.dtype, progress, adapter, base),
            keep_packed=self.engine.packed_weights,
        )
        served = source.served
        if model.spec.fingerprint != served.spec.fingerprint:
            raise CheckpointError(
                f"{source.path} has changed since the server started; start it again"
            )
        log.info(
            "loaded %s: %d parameters as %s, tokenizer %s, template %s",
            *(served.id, served.spec.parameters, served.dtype),
            *(served.tokenizer.name, served.template.name),
        )
        return Runtime(model, self._client(model, served), states_nbytes)

    def _client(self, model: Model, served: ServedModel) -> EngineClient:
        engine = Engine(
            model,
            max_slots=self.engine.max_slots,
            prefill_chunk=self.engine.prefill_chunk,
            max_wait_s=self.engine.max_wait_s,
            forbidden_ids=served.tokenizer.padding_ids(model.spec.vocab_size),
            drafted_tokens=1 + (model.spare_tokens if self.engine.speculation == "auto" else 0),
        )
        capacity = self.engine.max_slots + self.engine.max_queue
        return EngineClient(
            engine,
            capacity=capacity,
            observer=self.watch(served.id),
            meter=self.meter,
            trace=self.trace,
        )


def _beginning(adapter: Adapter, model: Model) -> Snapshot:
    return Snapshot.of_initial(adapters.initial_state(adapter, model))

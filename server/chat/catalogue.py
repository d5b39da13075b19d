"""The models that can be asked for by id: some loaded, others loaded when they are asked for.

An engine with its weights is a Runtime. It answers for one model and for all tuned initial states
of that model; a merged adapter has a Runtime of its own. Where there is a budget, idle runtimes
make room for the one that is asked for, the least recently used first.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.base import CheckpointError, Model
from server.chat.served import ServedModel
from server.chat.service import ChatService
from server.engine.client import EngineClient
from server.engine.snapshot import Snapshot
from server.errors import ModelUnavailable, NotFound

log = logging.getLogger(__name__)

_BUSY_S = 5  # after which an answer that keeps a model busy may have ended
_BROKEN_S = 60  # after which someone may have mended a file

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Runtime:
    """A loaded model and its engine; states_nbytes: what the states of its slots take.

    The engine's thread owns the model: others may read its weights, and ask it nothing.
    """

    model: Model
    engine: EngineClient
    states_nbytes: int


Serve = Callable[[ServedModel, EngineClient, Snapshot | None], ChatService]
Measure = Callable[[Iterable[Model]], int]
Load = Callable[[Model | None, Progress], Runtime]


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that can be asked for, and how it comes to life.

    adapter: its kind, for one made from the model with the id `base`. nbytes: what its weights
    and slots will take. load gets the base's model if that is loaded, and runs in a thread.
    begin makes the state its conversations begin with, on the engine of its base.
    """

    model: ServedModel
    nbytes: int
    load: Load
    base: str | None = None
    adapter: str | None = None
    begin: Callable[[Model], Snapshot] | None = None

    @property
    def id(self) -> str:
        return self.model.id

    @property
    def engine_id(self) -> str:
        """The offer whose engine answers for this one."""
        return self.id if self.begin is None or self.base is None else self.base


class Catalogue:
    """Finds the service for a model; belongs to one event loop.

    The first offer is loaded already, as `first`. budget_bytes: for everything that is loaded;
    0 is no limit. measure: bytes of the weights of some models, shared ones once. A load runs in
    a thread, one at a time, and the loaded models answer meanwhile.
    """

    def __init__(
        self,
        offers: Sequence[Offer],
        first: Runtime,
        *,
        serve: Serve,
        measure: Measure,
        budget_bytes: int = 0,
    ) -> None:
        self.created = int(time.time())
        self._offers = {offer.id: offer for offer in offers}
        self._first = offers[0].id
        self._serve = serve
        self._measure = measure
        self._budget = budget_bytes
        self._runtimes = {self._first: first}  # the least recently used first
        self._services = {self._first: serve(offers[0].model, first.engine, None)}
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._wanted: Counter[str] = Counter()
        self._lock = asyncio.Lock()
        self._started = self._stopped = False

    @property
    def offers(self) -> Sequence[Offer]:
        """Everything that can be asked for, in the order of the configuration."""
        return list(self._offers.values())

    @property
    def first(self) -> ChatService:
        """The service of the first offer, for whoever serves nothing else."""
        return self._services[self._first]

    @property
    def alive(self) -> bool:
        """Started, and every engine that should run does."""
        running = self._started and not self._stopped
        return running and all(runtime.engine.alive for runtime in self._runtimes.values())

    @property
    def in_flight(self) -> int:
        """Answers under way, of all models."""
        return sum(runtime.engine.in_flight for runtime in self._runtimes.values())

    @property
    def engines(self) -> Mapping[str, EngineClient]:
        """Those that are loaded, by the id of their model."""
        return {id: runtime.engine for id, runtime in self._runtimes.items()}

    def loaded(self, offer: Offer) -> bool:
        """It would answer without loading weights."""
        return offer.engine_id in self._runtimes

    def offer(self, id: str) -> Offer:
        """Raises NotFound for an id that is not served."""
        if id not in self._offers:
            served = ", ".join(map(repr, self._offers))
            message = f"The model {id[:100]!r} is not served here; {served} can be asked for."
            raise NotFound(message, param="model", code="model_not_found")
        return self._offers[id]

    async def find(self, id: str) -> ChatService:
        """The service of a model, which is loaded if need be.

        Start the answer before the next await: a model without an answer under way may be
        unloaded. Raises NotFound, or ModelUnavailable where it cannot be loaded now.
        """
        offer = self.offer(id)
        self._wanted[offer.engine_id] += 1
        try:
            while (service := self._services.get(id)) is None:
                await self._loading(offer)
        finally:
            self._wanted[offer.engine_id] -= 1
        self._runtimes[offer.engine_id] = self._runtimes.pop(offer.engine_id)
        return service

    def start(self) -> None:
        """Start the engine of the first model; call from the event loop that will ask."""
        self._started = True
        for runtime in self._runtimes.values():
            runtime.engine.start()

    async def stop(self) -> None:
        """End every engine; what is in flight fails, and a load under way is given up."""
        self._stopped = True
        engines = [runtime.engine for runtime in self._runtimes.values()]
        await asyncio.gather(*(engine.stop() for engine in engines))

    async def _loading(self, offer: Offer) -> None:
        """Until the offer's service is there; all who ask for it share one load.

        Whoever leaves does not end it for the others.
        """
        task = self._loads.get(offer.id)
        if task is None:
            task = self._loads[offer.id] = asyncio.create_task(self._load(offer))
            task.add_done_callback(lambda done: self._loaded(offer, done))
        await asyncio.shield(task)

    def _loaded(self, offer: Offer, task: "asyncio.Task[None]") -> None:
        del self._loads[offer.id]
        if not task.cancelled() and isinstance(error := task.exception(), ModelUnavailable):
            log.warning("%s is not available: %s", offer.id, error.message)

    async def _load(self, offer: Offer) -> None:
        async with self._lock:
            self._check_running()
            try:
                runtime = await self._runtime(self._offers[offer.engine_id])
                start = None
                if offer.begin is not None:
                    start = await asyncio.to_thread(offer.begin, runtime.model)
            except ModelUnavailable:
                raise
            except CheckpointError as error:
                raise _unavailable(offer, str(error), _BROKEN_S) from error
            except Exception as error:
                log.exception("%s could not be loaded", offer.id)
                raise _unavailable(offer, "the server's log says why", _BROKEN_S) from error
            self._services[offer.id] = self._serve(offer.model, runtime.engine, start)

    async def _runtime(self, offer: Offer) -> Runtime:
        if offer.id in self._runtimes:
            return self._runtimes[offer.id]
        await self._make_room(offer)
        base = self._runtimes.get(offer.base) if offer.base is not None else None
        shared = base.model if base is not None else None
        runtime = await asyncio.to_thread(offer.load, shared, self._go_on)
        self._check_running()
        runtime.engine.start()
        self._runtimes[offer.id] = runtime
        return runtime

    def _go_on(self, done: int, total: int) -> None:
        """Called while a checkpoint is read, in the thread that reads it."""
        del done, total
        self._check_running()

    def _check_running(self) -> None:
        if self._stopped:
            raise ModelUnavailable("The server is stopping.", retry_after_s=_BUSY_S)

    async def _make_room(self, offer: Offer) -> None:
        """Unload idle models until the offer fits, its base last; none, if that would not do."""
        if not self._budget:
            return
        idle = [id for id in self._runtimes if self._idle(id)]
        idle.sort(key=lambda id: id == offer.base)  # whose weights can be shared
        busy = [runtime for id, runtime in self._runtimes.items() if id not in idle]
        if self._nbytes(busy) + offer.nbytes > self._budget:
            reason = "the memory for models is taken by others that are answering"
            raise _unavailable(offer, reason, _BUSY_S)
        while self._nbytes(self._runtimes.values()) + offer.nbytes > self._budget:
            await self._unload(idle.pop(0))

    def _nbytes(self, runtimes: Iterable[Runtime]) -> int:
        found = list(runtimes)
        weights = self._measure(runtime.model for runtime in found)
        return weights + sum(runtime.states_nbytes for runtime in found)

    def _idle(self, id: str) -> bool:
        return not self._wanted[id] and not self._runtimes[id].engine.busy

    async def _unload(self, id: str) -> None:
        runtime = self._runtimes.pop(id)
        for other in [i for i in self._services if self._offers[i].engine_id == id]:
            del self._services[other]
        log.info("unloading %s to make room", id)
        await runtime.engine.stop()


def _unavailable(offer: Offer, reason: str, retry_after_s: int) -> ModelUnavailable:
    message = f"The model {offer.id!r} cannot be loaded: {reason.rstrip('.')}."
    return ModelUnavailable(message, retry_after_s=retry_after_s)

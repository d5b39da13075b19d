"""This server's engine in this process, greedy, without HTTP."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models import loader
from models.backends import select
from models.checkpoint import open_checkpoint
from models.native.model import NativeModel
from server.bench import engine
from server.bench.engine import NeverStops
from server.engine.engine import Engine
from server.engine.messages import Branch, Failed, Sampling, Submit, TokenSampled


@dataclass
class Ours:
    """threads: for everything; models are loaded when they are first asked for."""

    checkpoint: Path
    threads: int
    _models: dict[str, NativeModel] = field(default_factory=dict)

    def decode(self, dtype: str, streams: int, prompt: int, tokens: int) -> float:
        """Tokens per second of so many streams together, without their prompts."""
        fed, ended = self._run(dtype, [prompt] * streams, tokens, streams * prompt)
        return streams * tokens / (ended - fed)

    def answers(self, dtype: str, prompts: Sequence[int], tokens: int) -> float:
        """Tokens per second of an answer to each prompt, which is fed as the server feeds it."""
        return len(prompts) * tokens / self._run(dtype, prompts, tokens, engine.CHUNK)[1]

    def prefill(self, dtype: str, tokens: int) -> float:
        """Prompt tokens per second."""
        return tokens / self._run(dtype, [tokens], 1, engine.CHUNK)[0]

    def bytes_read(self, dtype: str) -> int:
        """Of weights, for one token; of the embedding that is a row."""
        model = self._model(dtype)
        shapes = open_checkpoint(self.checkpoint).tensors
        packed = model.packed(name for name in shapes if name != "emb.weight")
        return sum(blob.size for blob in packed.values())

    def _run(
        self, dtype: str, prompts: Sequence[int], tokens: int, chunk: int
    ) -> tuple[float, float]:
        """Seconds until the first token was sampled, and until all was done."""
        runner = Engine(self._model(dtype), max_slots=len(prompts), prefill_chunk=chunk)
        start = time.perf_counter()
        for number, length in enumerate(prompts):
            ids = tuple(1 + (977 * number + i) % 65_000 for i in range(length))
            branch = Branch(Sampling(temperature=0), NeverStops())
            request = Submit(str(number), None, (ids,), (branch,), tokens, frozenset())
            runner.submit(request)
        while not _sampled(runner):
            pass
        fed = time.perf_counter()
        while not runner.idle:
            _sampled(runner)
        return fed - start, time.perf_counter() - start

    def _model(self, dtype: str) -> NativeModel:
        if dtype not in self._models:
            backend = select("cpu", self.threads)
            loaded = loader.load(self.checkpoint, backend, dtype, keep_packed="auto")
            if not isinstance(loaded, NativeModel):
                raise SystemExit("the native library does not compute this; build it first.")
            self._models[dtype] = loaded
        return self._models[dtype]


def _sampled(runner: Engine) -> bool:
    """Whether the next step samples."""
    events = runner.step()
    for event in events:
        if isinstance(event, Failed):
            raise SystemExit(f"the engine failed: {event.message}.")
    return any(isinstance(event, TokenSampled) for event in events)

"""The training loop of one process; process 0 also measures, logs and saves.

All processes make the same update from the same summed gradient, so they stay equal without
being told. What only process 0 knows (the clock, a request to stop) travels in a small second
all-reduce after each step.
"""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from models.gosling.batches import Batch, Batches
from models.gosling.checkpoint import Checkpoint, Progress, export, save_checkpoint
from models.gosling.network import Network
from models.gosling.optimizer import Optimizer
from models.gosling.probe import Probe, Score
from models.gosling.schedule import Schedule

log = logging.getLogger(__name__)
LOG_SECONDS = 10.0
SMOOTHING = 0.98


@dataclass(frozen=True, slots=True)
class Setting:
    """What one process is to do. `world` is the number of processes."""

    out: Path
    seed: int
    rank: int = 0
    world: int = 1
    compiled: bool = True
    save_seconds: float = 180.0
    probe_seconds: float = 600.0


class Loop:
    """Steps until the schedule is done or `stop` is set; `run` says which."""

    def __init__(
        self,
        setting: Setting,
        network: Network,
        optimizer: Optimizer,
        batches: Batches,
        schedule: Schedule,
        progress: Progress,
        probe: Probe | None,
    ) -> None:
        self.stop = False
        self.progress = progress
        self._setting, self._network, self._optimizer = setting, network, optimizer
        self._batches, self._schedule, self._probe = batches, schedule, probe
        self._loss = (
            torch.compile(network.loss, dynamic=False) if setting.compiled else network.loss
        )
        self._device = network.emb.weight.device
        self._smooth: float | None = None
        self._data_seconds = 0.0

    def run(self) -> bool:
        """Trains. True when the schedule was done, False when stopped before."""
        self._start_clock()
        while not self._schedule.done(self._at()):
            self._step()
            if self._setting.rank == 0:
                self._after_step()
            if self._stopped:
                break
        done = self._schedule.done(self._at())
        if self._setting.rank == 0:
            self._finish(done)
        return done

    def _start_clock(self) -> None:
        """The first step compiles; a dry one keeps that out of the run's time."""
        if self._setting.compiled:
            self._backward(self._batches.batch(self.progress.step))
            self._optimizer.gradients.zero_()
        self._stopped = False
        self._began = time.monotonic() - self.progress.seconds
        now = time.monotonic()
        self._logged, self._saved, self._probed = now, now, now
        self._logged_tokens = self.progress.tokens

    def _at(self) -> float:
        progress = self.progress
        return progress.seconds if self._schedule.unit == "seconds" else float(progress.tokens)

    def _step(self) -> None:
        setting, progress = self._setting, self.progress
        began = time.monotonic()
        batch = self._batches.batch(progress.step)
        self._data_seconds += time.monotonic() - began
        loss = self._backward(batch)
        if setting.world > 1:
            dist.all_reduce(self._optimizer.gradients)
            self._optimizer.gradients.div_(setting.world)
        multiplier = self._schedule.multiplier(self._at(), progress.step)
        self._optimizer.step(progress.step + 1, multiplier)
        self._agree(loss, batch.tokens.numel(), multiplier)

    def _backward(self, batch: Batch) -> Tensor:
        moved = (
            x.to(self._device) for x in (batch.tokens, batch.keep, batch.targets, batch.weight)
        )
        loss: Tensor = self._loss(*moved)
        torch.autograd.backward(loss)
        return loss.detach()

    def _agree(self, loss: Tensor, tokens: int, multiplier: float) -> None:
        lead = self._setting.rank == 0
        seconds = time.monotonic() - self._began if lead else 0.0
        told = torch.tensor([float(loss), float(tokens), seconds, float(self.stop)]).double()
        if self._setting.world > 1:
            dist.all_reduce(told)
        mean = float(told[0]) / self._setting.world
        self._smooth = mean if self._smooth is None else self._smooth
        self._smooth = SMOOTHING * self._smooth + (1 - SMOOTHING) * mean
        self._multiplier = multiplier
        before = self.progress
        self.progress = Progress(before.step + 1, before.tokens + int(told[1]), float(told[2]))
        self._stopped = bool(told[3] > 0)

    def _after_step(self) -> None:
        now, setting = time.monotonic(), self._setting
        if now - self._logged >= LOG_SECONDS:
            self._report(now)
        if now - self._saved >= setting.save_seconds:
            self.save()
            self._saved = now
        if self._probe and now - self._probed >= setting.probe_seconds:
            self.measure()
            self._probed = now

    def _report(self, now: float) -> None:
        progress, schedule = self.progress, self._schedule
        rate = (progress.tokens - self._logged_tokens) / (now - self._logged)
        left = schedule.total - self._at()
        entry: dict[str, object] = {
            "step": progress.step,
            "tokens": progress.tokens,
            "seconds": round(progress.seconds, 1),
            "tokens_per_second": round(rate),
            "loss": round(self._smooth or 0.0, 4),
            "rate": round(self._multiplier, 4),
            "minutes_left": round((left if schedule.unit == "seconds" else left / rate) / 60, 1),
            "data_share": round(self._data_seconds / (now - self._logged), 3),
        }
        self._record(entry)
        self._logged, self._logged_tokens, self._data_seconds = now, progress.tokens, 0.0

    def measure(self) -> dict[str, Score]:
        """Measures the network with the probe and logs what it finds."""
        scores = self._probe.measure(self._network) if self._probe else {}
        exact = {name: round(s.exact / s.answers, 3) for name, s in scores.items()}
        losses = {name: round(s.loss, 3) for name, s in scores.items()}
        self._record({"step": self.progress.step, "exact": exact, "losses": losses})
        return scores

    def save(self) -> None:
        setting = self._setting
        checkpoint = Checkpoint(
            self.progress,
            self._schedule,
            self._network.sizes,
            setting.seed,
            self._optimizer.state(),
        )
        save_checkpoint(setting.out, checkpoint)

    def _finish(self, done: bool) -> None:
        self.save()
        self.measure()
        if done:
            export(self._network, self.progress, self._setting.out / "model.safetensors")
            log.info("done: %s", self._setting.out / "model.safetensors")

    def _record(self, entry: dict[str, object]) -> None:
        log.info("%s", "  ".join(f"{name} {value}" for name, value in entry.items()))
        with (self._setting.out / "train.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")

"""The learning rate over a run: warm-up, constant, then linear down to a fiftieth.

Progress is counted in `unit`: seconds of training or tokens, summed over resumed runs. While the
rate is constant a run can be stopped, resumed and given another end.
"""

from dataclasses import dataclass
from typing import Literal

WARMUP_STEPS = 50
LAST = 0.02


@dataclass(frozen=True, slots=True)
class Schedule:
    """Ends at `total`; the last `decay` of it goes down."""

    unit: Literal["seconds", "tokens"]
    total: float
    decay: float

    def done(self, progress: float) -> bool:
        return progress >= self.total

    def multiplier(self, progress: float, step: int) -> float:
        """What the base rate is multiplied by, 0..1; `step` counts from 0."""
        warm = min(1.0, (step + 1) / WARMUP_STEPS)
        left = (self.total - progress) / self.decay if self.decay > 0 else 1.0
        return warm * (LAST + (1 - LAST) * min(1.0, max(0.0, left)))

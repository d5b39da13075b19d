"""Seeded choices under a split: the one object every ability draws from.

A value is held out by a hash of its lower-case form, so the same value is held out whoever
generates it, and no table of held-out values exists.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from models.gosling.dialogues.messages import Split
from models.gosling.dialogues.vocabulary import real_values

T = TypeVar("T")
PART = re.compile(r"[\s-]")


def held(value: str) -> bool:
    """True for one value in twenty: it occurs only in `Split.HELD_VALUES`."""
    return zlib.crc32(value.lower().encode()) % 20 == 0


@dataclass(frozen=True, slots=True)
class Draw:
    rng: Random
    split: Split

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.random() * len(options))]

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self.rng.random() * (high - low + 1))

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        return self.rng.sample(options, min(count, len(options)))

    def allowed(self, value: str) -> bool:
        """Whether the split may use the value; parts of it must not be held-out real names."""
        if held(value) != (self.split is Split.HELD_VALUES):
            return False
        text = value.lower()
        return text not in real_values() and real_values().isdisjoint(PART.split(text))

    def fresh(self, make: Callable[[], str]) -> str:
        """A value from `make` that this split may use."""
        while not self.allowed(value := make()):
            pass
        return value

    def distinct(self, make: Callable[[], T], count: int) -> list[T]:
        """Up to `count` different values; a small source may give fewer."""
        found: dict[T, None] = {}
        for _ in range(4 * count):
            found.setdefault(make())
            if len(found) == count:
                break
        return list(found)

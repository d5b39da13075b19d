"""How much each caller may use: requests at a time, and requests and tokens in a minute.

A bucket holds what may be used at once, a minute's worth, and fills up evenly. The tokens of a
request are known only when they are there, so a request is let in while any are left, and what it
uses beyond that has to fill up again before the next one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of every caller; 0 is no limit."""

    concurrent: int = 0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Level:
    """Of one bucket; kind: requests or tokens. full_s: in how many seconds it is full again."""

    kind: str
    limit: int
    remaining: int
    full_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not let in. wait_s: after which it may be."""

    reason: str
    wait_s: float


class _Bucket:
    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self._level = float(limit)
        self._at = now

    def level(self, now: float) -> float:
        self._level = min(self.limit, self._level + (now - self._at) * self.limit / _MINUTE_S)
        self._at = now
        return self._level

    def take(self, count: float, now: float) -> None:
        self._level = self.level(now) - count

    def wait_s(self, count: float, now: float) -> float:
        """Until it holds `count`."""
        return max(0.0, count - self.level(now)) * _MINUTE_S / self.limit


class Allowances:
    """What every caller has left; belongs to one event loop. Implements engine.observer.Meter."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._running: dict[str, int] = {}
        self._buckets: dict[str, dict[str, _Bucket]] = {}

    def enter(self, caller: str, *, inside: bool = False) -> Refused | None:
        """Let a request in, which must leave() again, or say why not.

        inside: a request of a batch, which is not counted among those at a time, and leaves half
        of the rest to its caller.
        """
        most = self._limits.concurrent
        if most and not inside and self._running.get(caller, 0) >= most:
            return Refused(f"{most} requests of this key are under way already", 1.0)
        own = self._own(caller)  # before the clock: a bucket that begins later lacks a little
        now = self._clock()
        for kind, bucket in own.items():
            wanted = max(1.0, bucket.limit / 2 if inside else 1.0)
            wait_s = bucket.wait_s(wanted, now)
            if wait_s:
                return Refused(f"the {bucket.limit} {kind} per minute of this key are used", wait_s)
        if "requests" in own:
            own["requests"].take(1, now)
        if not inside:
            self._running[caller] = self._running.get(caller, 0) + 1
        return None

    def leave(self, caller: str) -> None:
        """A request that was let in from outside has ended."""
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]

    def spent(self, caller: str, tokens: int) -> None:
        """See Meter."""
        if not self._limits.tokens_per_minute:  # asked for every token
            return
        if (bucket := self._own(caller).get("tokens")) is not None:
            bucket.take(tokens, self._clock())

    def levels(self, caller: str) -> list[Level]:
        """Of every bucket that the caller has."""
        now = self._clock()
        return [
            Level(kind, b.limit, max(0, int(b.level(now))), b.wait_s(b.limit, now))
            for kind, b in self._own(caller).items()
        ]

    def _own(self, caller: str) -> dict[str, _Bucket]:
        limits = {
            "requests": self._limits.requests_per_minute,
            "tokens": self._limits.tokens_per_minute,
        }
        if caller not in self._buckets:
            now = self._clock()
            self._buckets[caller] = {
                kind: _Bucket(limit, now) for kind, limit in limits.items() if limit
            }
        return self._buckets[caller]
